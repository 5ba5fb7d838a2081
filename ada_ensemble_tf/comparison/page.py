"""The page of a comparison. Nothing here imports TensorFlow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ada_ensemble_tf.comparison.arrays import load_array, load_weights
from ada_ensemble_tf.comparison.critical_difference import critical_difference_figure
from ada_ensemble_tf.comparison.model_aucs import mean_interval, model_auc_figure
from ada_ensemble_tf.comparison.runs import PROBABILITIES, Run
from ada_ensemble_tf.comparison.series import find_series, series_figure
from ada_ensemble_tf.comparison.significance import LEVEL, Verdict, all_pairs
from ada_ensemble_tf.comparison.table import Table
from ada_ensemble_tf.evaluation.intervals import Interval, auc_interval, bootstrap_intervals
from ada_ensemble_tf.reporting.calibration import miscalibrated
from ada_ensemble_tf.reporting.costs import Cost, cost_figure
from ada_ensemble_tf.reporting.page import Page
from ada_ensemble_tf.trained.run_files import CONFIG_FILE, load_config, load_data_file, refuse_other_version
from data_pipelines.errors import UserError


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
    return Table(runs, {}, {"data": f"fingerprint {' and '.join(sorted(fingerprints))}"}, out / "test_labels.npy")


def comparison_page(table: Table) -> Page:
    """The page.

    Args:
        table: the table of a comparison with at least one finished run.
    """
    rows = table.rows()
    labels, weights = load_array(table.labels_file), load_weights(table.labels_file)
    files: dict[str, dict[int, Path]] = {}
    for run in table.runs:
        if run.done():
            files.setdefault(run.label, {})[run.seed] = run.folder / PROBABILITIES
    order = [row["label"] for row in rows if row["label"] in files]
    aucs = {
        label: [auc_interval(labels, load_array(file, len(labels)), weights) for file in files[label].values()]
        for label in order
    }
    verdicts = all_pairs(files, table.labels_file, order)
    page = Page(f"Comparison: {table.labels_file.parent}", f"{len(labels):,} test rows, {int(labels.sum()):,} clicks")
    page.section("findings", "Findings")
    page.findings([*_leaders(rows), *_undone(table), *_calibration(labels, weights, files)])
    page.section("table", "Table")
    _table(page, rows, table.header)
    page.section("auc", "AUC")
    text = (
        "Mean AUC over seeds; lines are 95 % intervals over the choice of test rows (DeLong), rings single seeds. "
        "Models share the test rows, so overlapping intervals do not say that two are equal: see the next section."
    )
    page.figure(model_auc_figure(aucs), "model-aucs", text)
    _differences(page, order, aucs, verdicts)
    if series := find_series(table.runs):
        page.section("series", "AUC by depth and number of experts")
        text = (
            "Runs that differ in one of these keys alone. Points are means over seeds, bars one standard deviation of "
            "the seeds to each side; a single seed has its 95 % interval over the choice of test rows."
        )
        page.figure(series_figure([(one, table.labels_file) for one in series]), "series", text)
    page.section("costs", "FLOPs against AUC")
    flops = {row["label"]: row["flops_per_example"] for row in rows if row["label"] in files}
    costs = [Cost(label, flops[label], mean_interval(aucs[label]), label == order[0]) for label in order]
    page.figure(cost_figure(costs), "costs", "FLOPs an example as routed against mean AUC, with intervals.")
    return page


def _leaders(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    tested = [row for row in rows if "mark" in row]
    best = next(row["label"] for row in tested if row["mark"] == "best")
    alike = [row["label"] for row in tested if row["mark"] in ("≈", "?")]
    text = f"{best} has the highest AUC."
    if alike:
        text += f" Not distinguishable from it on these test rows and seeds: {', '.join(alike)}."
    elif len(tested) > 1:
        text += " All others are worse beyond noise."
    return [("good", "best", text)]


def _undone(table: Table) -> list[tuple[str, str, str]]:
    undone = [f"{run.label}, seed {run.seed}" for run in table.runs if not run.done()]
    failures = [f"{label}, seed {seed}: {text}" for (label, seed), text in table.failures.items()]
    found = [("problem", "failed", f"Failed: {text}") for text in failures]
    return found or ([("problem", "not_done", f"Not done: {'; '.join(undone)}.")] if undone else [])


def _calibration(
    labels: np.ndarray, weights: np.ndarray | None, files: Mapping[str, Mapping[int, Path]]
) -> list[tuple[str, str, str]]:
    off = []
    for label, seeds in files.items():
        every = [load_array(file, len(labels)) for file in seeds.values()]
        found = [bootstrap_intervals(labels, p, weights=weights)["calibration"] for p in every]
        ways = {np.sign(one.value - 1.0) for one in found}
        if len(ways) == 1 and all(map(miscalibrated, found)):
            off.append(f"{label} ({np.mean([one.value for one in found]):.3f})")
    text = f"Mis-calibrated with every seed, mean prediction over click rate in brackets: {', '.join(off)}."
    return [("problem", "miscalibrated", text)] if off else []


def _table(page: Page, rows: list[dict[str, Any]], header: Mapping[str, str]) -> None:
    for name, text in header.items():
        page.text(f"{name}: {text}")
    cells = []
    for row in rows:
        mean = [_plus_minus(row, "auc"), _plus_minus(row, "logloss")]
        mean += [f"{row[name]:.3f}" if name in row else "" for name in ("normalized_entropy_mean", "calibration_mean")]
        figures = [
            f"{row[name]:,.0f}" if row.get(name) is not None else "" for name in ("parameters", "flops_per_example")
        ]
        seeds = f"{row['seeds_done']} of {row['seeds_asked']}" if "seeds_asked" in row else ""
        p = row.get("p_delong_holm")
        cells.append([row["label"], *mean, *figures, seeds, "" if p is None else f"{p:.2g}", row.get("mark", "")])
    headings = ["", "AUC", "LogLoss", "NE", "calibration", "parameters", "FLOPs", "seeds", "p DeLong", "mark"]
    text = (
        "Mean ± standard deviation over seeds; FLOPs are those of an example. p is against the best row, after Holm's "
        "correction; '<' is worse than the best, '≈' not distinguishable from it."
    )
    page.table(headings, cells, text)


def _plus_minus(row: Mapping[str, Any], name: str) -> str:
    mean, std = row.get(f"{name}_mean"), row.get(f"{name}_std")
    return "" if mean is None else f"{mean:.5f}" + ("" if std is None else f" ± {std:.5f}")


def _differences(
    page: Page, order: list[str], aucs: Mapping[str, list[Interval]], verdicts: Mapping[tuple[str, str], Verdict]
) -> None:
    if len(order) < 2:
        return
    page.section("differences", "Critical differences")
    means = {label: mean_interval(aucs[label]).value for label in order}
    text = (
        "A bar joins models no two of which can be told apart: DeLong's test on the same test rows, by the median z of "
        f"all seeds, is not below {LEVEL:.0%} after Holm's correction over all {len(verdicts)} pairs, or the order of "
        "the two is not the same with every seed. The rows are one test split: it says nothing of other data sets."
    )
    worse = {pair: verdict.mark == "<" for pair, verdict in verdicts.items()}
    page.figure(critical_difference_figure(means, worse), "critical-differences", text)
