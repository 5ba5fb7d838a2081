"""The page of a comparison. Nothing here imports TensorFlow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ada_ensemble_tf.comparison.arrays import load_array, load_weights
from ada_ensemble_tf.comparison.critical_difference import critical_difference_figure
from ada_ensemble_tf.comparison.headline import Standing, headline, worse_by_logloss
from ada_ensemble_tf.comparison.model_metrics import (
    METRICS,
    RunFigures,
    mean_interval,
    model_metrics_figure,
    run_figures,
)
from ada_ensemble_tf.comparison.run_curves import reliability_grid
from ada_ensemble_tf.comparison.run_sections import runs_section, training_sections
from ada_ensemble_tf.comparison.runs import PROBABILITIES, Run
from ada_ensemble_tf.comparison.series import find_series, series_figure
from ada_ensemble_tf.comparison.significance import LEVEL, Verdict, all_pairs
from ada_ensemble_tf.comparison.table import Table, header_of, plus_minus
from ada_ensemble_tf.reporting.calibration import miscalibrated
from ada_ensemble_tf.reporting.costs import Cost, cost_figure
from ada_ensemble_tf.reporting.page import Page
from ada_ensemble_tf.trained.run_files import CONFIG_FILE, load_config, load_data_file, refuse_other_version
from data_pipelines.errors import UserError
from data_pipelines.fields.level_names import positive_name
from data_pipelines.fields.schema import Schema

Figures = Mapping[str, Mapping[int, RunFigures]]
"""By label and seed, labels in the table's order."""


def table_of(out: Path) -> Table:
    """The table of the comparison in a directory, with the runs that are there.

    Raises:
        UserError: if there is no comparison, or none of its runs is done.
    """
    runs = []
    for folder in sorted(out.glob("*/seed_*")):
        refuse_other_version(folder)
        if (folder / CONFIG_FILE).exists():
            data_dir, labels = load_data_file(folder).data_dir, out / "test_labels.npy"
            runs.append(Run(folder.parent.name, load_config(folder), folder, Path(data_dir), labels))
    if not any(run.done() for run in runs) or not (out / "test_labels.npy").exists():
        raise UserError(f"{out}: no finished run of a comparison here; give the --out of ada_ensemble_tf.compare")
    fingerprints = {load_data_file(run.folder).fingerprint for run in runs}
    header = header_of(out) | {"data": f"fingerprint {' and '.join(sorted(fingerprints))}"}
    return Table(runs, {}, header, out / "test_labels.npy")


def comparison_page(table: Table, path: Path | None = None) -> Page:
    """The page.

    Args:
        table: the table of a comparison with at least one finished run.
        path: where the page will be, for its links; by default, in the comparison's directory.
    """
    rows = table.rows()
    labels, weights = load_array(table.labels_file), load_weights(table.labels_file)
    done = {(run.label, run.seed): run for run in table.runs if run.done()}
    order = [row["label"] for row in rows if any(row["label"] == label for label, _ in done)]
    files = {
        label: {seed: run.folder / PROBABILITIES for (one, seed), run in done.items() if one == label}
        for label in order
    }
    # One run's probabilities in memory at a time.
    figures = {
        label: {seed: run_figures(labels, load_array(file, len(labels)), weights) for seed, file in seeds.items()}
        for label, seeds in files.items()
    }
    folder, here = table.labels_file.parent, Path.cwd()
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    title, positives = f"Comparison: {shown}", int(labels.sum())
    share = f"{100.0 * positives / len(labels):.2f} %"
    page = Page(title, f"{len(labels):,} test rows, of which {positives:,} have {_positive(table.runs)}: {share}")
    page.section("findings", "Findings")
    standings = _standings(rows, figures, files, table.labels_file)
    page.findings([*headline(standings), *_undone(table), *_calibration(figures)])
    page.section("table", "Table")
    _table(page, rows, table.header)
    _metrics(page, figures)
    aucs = {label: mean_interval([one.auc for one in seeds.values()]) for label, seeds in figures.items()}
    _differences(page, {label: one.value for label, one in aucs.items()}, all_pairs(files, table.labels_file, order))
    page.section("reliability", "Reliability")
    text = (
        f"Share of {_positive(table.runs)} in groups of equally many test rows by rising prediction, a line for each "
        "seed. Points above the dashed line are predicted too low."
    )
    page.figure(reliability_grid({label: [x.reliability for x in one.values()] for label, one in figures.items()}),
                "reliability", text)  # fmt: skip
    training_sections(page, order, done)
    if series := find_series(table.runs):
        page.section("series", "AUC by depth and number of experts")
        text = (
            "Runs that differ in one of these keys alone. Points are means over seeds, bars one standard deviation of "
            "the seeds to each side; a single seed has its 95 % interval over the choice of test rows."
        )
        page.figure(series_figure([(one, table.labels_file) for one in series]), "series", text)
    page.section("costs", "FLOPs against AUC")
    flops = {row["label"]: row["flops_per_example"] for row in rows if row["label"] in files}
    costs = [Cost(label, flops[label], aucs[label], label == order[0]) for label in order]
    page.figure(cost_figure(costs), "costs", "FLOPs an example as routed against mean AUC, with intervals.")
    runs_section(page, order, done, path or table.labels_file.parent / "report.html")
    return page


def _positive(runs: Sequence[Run]) -> str:
    files = [run.folder / "schema.json" for run in runs]
    found = next((file for file in files if file.is_file()), None)
    return positive_name(Schema.load(found).format) if found else "label = 1"


def _standings(
    rows: Sequence[Mapping[str, Any]], figures: Figures, files: Mapping[str, Mapping[int, Path]], labels: Path
) -> list[Standing]:
    by_label = {row["label"]: row for row in rows}
    lowest = min(figures, key=lambda label: by_label[label]["logloss_mean"])
    worse = worse_by_logloss(files, labels, lowest)
    return [
        Standing(
            label, row["auc_mean"], row["mark"], row["logloss_mean"], worse[label], row["calibration_mean"],
            _is_off(seeds),
        )
        for label, seeds in figures.items()
        for row in [by_label[label]]
    ]  # fmt: skip


def _is_off(seeds: Mapping[int, RunFigures]) -> bool:
    """Whether predictions are too high with every seed, or too low with every seed, beyond chance and tolerance."""
    found = [one.calibration for one in seeds.values()]
    return len({np.sign(one.value - 1.0) for one in found}) == 1 and all(map(miscalibrated, found))


def _undone(table: Table) -> list[tuple[str, str, str]]:
    undone = [f"{run.label}, seed {run.seed}" for run in table.runs if not run.done()]
    failures = [f"{label}, seed {seed}: {text}" for (label, seed), text in table.failures.items()]
    found = [("problem", "failed", f"Failed: {text}") for text in failures]
    return found or ([("problem", "not_done", f"Not done: {'; '.join(undone)}.")] if undone else [])


def _calibration(figures: Figures) -> list[tuple[str, str, str]]:
    off = [
        f"{label} ({np.mean([one.calibration.value for one in seeds.values()]):.3f})"
        for label, seeds in figures.items()
        if _is_off(seeds)
    ]
    text = f"Mis-calibrated with every seed, mean prediction over observed rate in brackets: {', '.join(off)}."
    return [("problem", "miscalibrated", text)] if off else []


def _table(page: Page, rows: list[dict[str, Any]], header: Mapping[str, str]) -> None:
    for name, text in header.items():
        if name == "command":
            page.code(text)
        else:
            page.text(f"{name}: {text}")
    cells = []
    for row in rows:
        mean = [plus_minus(row, "auc", 5), plus_minus(row, "logloss", 5)]
        mean += [f"{row[name]:.3f}" if name in row else "" for name in ("normalized_entropy_mean", "calibration_mean")]
        figures = [
            f"{row[name]:,.0f}" if row.get(name) is not None else "" for name in ("parameters", "flops_per_example")
        ]
        seeds = f"{row['seeds_done']} of {row['seeds_asked']}" if "seeds_asked" in row else ""
        p = row.get("p_delong_holm")
        cells.append([row["label"], *mean, *figures, seeds, "" if p is None else f"{p:.2g}", row.get("mark", "")])
    headings = ["", "AUC", "LogLoss", "NE", "calibration", "parameters", "FLOPs", "seeds", "p DeLong", "mark"]
    text = (
        "Mean ± standard deviation over seeds; FLOPs are those of an example. Marks are of AUC: p is against the best "
        "row, after Holm's correction; '<' is worse than the best, '≈' not distinguishable from it."
    )
    page.table(headings, cells, text)


def _metrics(page: Page, figures: Figures) -> None:
    page.section("metrics", "AUC, LogLoss and calibration")
    text = (
        "Means over seeds; lines are 95 % intervals over the choice of test rows (AUC by DeLong, the others by "
        "bootstrap), rings single seeds. Models share the test rows, so overlapping intervals do not say that two are "
        "equal: see the next section."
    )
    panels = {
        title: {label: [getattr(one, name) for one in seeds.values()] for label, seeds in figures.items()}
        for name, title in METRICS.items()
    }
    page.figure(model_metrics_figure(panels), "model-metrics", text)


def _differences(page: Page, means: Mapping[str, float], verdicts: Mapping[tuple[str, str], Verdict]) -> None:
    if len(means) < 2:
        return
    page.section("differences", "Critical differences")
    text = (
        "A bar joins models no two of which can be told apart: DeLong's test on the same test rows, by the median z of "
        f"all seeds, is not below {LEVEL:.0%} after Holm's correction over all {len(verdicts)} pairs, or the order of "
        "the two is not the same with every seed. The rows are one test split: it says nothing of other data sets."
    )
    worse = {pair: verdict.mark == "<" for pair, verdict in verdicts.items()}
    page.figure(critical_difference_figure(means, worse), "critical-differences", text)
