"""A comparison from variants to its table."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ada_ensemble_tf.comparison.configs import Variants, check_label, facts_for, make_config
from ada_ensemble_tf.comparison.page import comparison_page
from ada_ensemble_tf.comparison.runs import Run, Workers
from ada_ensemble_tf.comparison.table import Table
from ada_ensemble_tf.trained.run_files import flat
from data_pipelines.errors import UserError
from data_pipelines.locks import alone_in
from data_pipelines.output import remove_left
from data_pipelines.read.preparation import Preparation, load_complete
from data_pipelines.truth import load_truth
from data_pipelines.usage import command_line

logger = logging.getLogger(__name__)


def plan(
    config_file: str, variants: Variants, values: Mapping[str, Any], seeds: int, data_dir: Path, out: Path
) -> list[Run]:
    """The runs of a comparison: OUT/<label>/seed_<n>, all labels with one seed before the next.

    Args:
        config_file: the data set's config, by name or as a file.
        variants: what is compared.
        values: overrides for all variants; a variant's own take precedence.
        seeds: the number of seeds, which count from 0.
        data_dir: the prepared data.
        out: where the runs go.

    Raises:
        UserError: for anything that cannot be trained, before any training starts.
    """
    if seeds < 1:
        raise UserError(f"--seeds must be at least 1; received {seeds}")
    facts = facts_for(config_file, data_dir)
    runs, changed = [], {key for _, own in variants.values() for key in own}
    for seed in range(seeds):
        for label, (model, own) in variants.items():
            check_label(label)
            config = make_config(config_file, model, {**values, **own, "seed": seed}, facts)
            folder = out / label / f"seed_{seed}"
            differing = {key: value for key, value in flat(config.to_dict()).items() if key in changed}
            hparams = {"label": label, "model": model, "seed": seed} | differing
            labels_file = out.absolute() / "test_labels.npy"
            runs.append(Run(label, config.to_dict(), folder, data_dir.absolute(), labels_file, hparams, command_line()))
    return runs


def compare(runs: Sequence[Run], data_dir: Path, out: Path, jobs: int, truth: Path | None) -> bool:
    """Trains what is not done; writes OUT/table.md and table.csv after each run, and prints table.md at the end.

    OUT/report.html is written at the end, if a run is done.

    Returns:
        Whether all runs are done.

    Raises:
        UserError: if a folder holds a run of another config or of other data, or another process is at work in OUT.
    """
    _, preparation = load_complete(data_dir)
    bounds = load_truth(truth) if truth else None
    with alone_in(out, "choose another --out"), Workers(jobs) as workers:
        remove_left(out)
        for run in runs:
            run.check_same(preparation.fingerprint())
        failures: dict[tuple[str, int], str] = {}
        labels_file = runs[0].labels_file
        assert labels_file is not None, "a comparison's runs score the test rows"
        table = Table(runs, failures, _header(preparation), labels_file, bounds)
        waiting = [run for run in runs if not run.done()]
        before, started = len(runs) - len(waiting), time.monotonic()
        logger.info("%d runs, of which %d were done before; tables in %s", len(runs), before, out)
        left, ended = list(waiting), 0
        while left or workers.busy:
            while left and not workers.full:
                workers.start(left.pop(0))
            run, failure = workers.wait()
            ended += 1
            if failure is not None:
                failures[run.label, run.seed] = failure
            minutes = (time.monotonic() - started) / ended * (len(waiting) - ended) / 60.0
            result = f"failed: {failure}" if failure else f"AUC {run.metrics()['test']['auc']:.5f}"
            logger.info(
                "%d of %d done: %s, seed %d: %s; about %.1f minutes left",
                before + ended, len(runs), run.label, run.seed, result, minutes,
            )  # fmt: skip
            table.write(out)
        print(table.write(out))
        if any(run.done() for run in runs):
            comparison_page(table).write(out / "report.html")
            logger.info("report: %s", out / "report.html")
    return not failures


def _header(preparation: Preparation) -> dict[str, str]:
    rows = ", ".join(f"{name} {count:,}" for name, count in preparation.rows.items())
    return {"command": command_line(), "data": f"fingerprint {preparation.fingerprint()}", "rows": rows}
