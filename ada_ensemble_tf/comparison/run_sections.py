"""The sections of a comparison's page about its single runs: over training, how long, and where their reports are."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ada_ensemble_tf.comparison.run_curves import (
    learning_curves_figure,
    time_figure,
    training_seconds,
    validation_curves,
)
from ada_ensemble_tf.comparison.runs import Run
from ada_ensemble_tf.reporting.page import Cell, Link, Page
from data_pipelines.progress import duration

Runs = Mapping[tuple[str, int], Run]
"""Finished runs by label and seed."""


def training_sections(page: Page, order: Sequence[str], done: Runs) -> None:
    """Learning curves and training times; nothing of what the runs left no event files of."""
    by_label = {label: [run for (one, _), run in done.items() if one == label] for label in order}
    curves = {label: [validation_curves(run.folder) for run in runs] for label, runs in by_label.items()}
    if any(seed for seeds in curves.values() for seed in seeds):
        page.section("curves", "Learning curves")
        text = "On the validation rows over training, a line for each seed. The best checkpoint of each is kept."
        page.figure(learning_curves_figure(curves), "learning-curves", text)
    taken = {label: [training_seconds(run.folder) for run in runs] for label, runs in by_label.items()}
    minutes = {label: [one / 60.0 for one in found if one is not None] for label, found in taken.items()}
    if any(minutes.values()):
        page.section("time", "Time")
        jobs = sorted({run.jobs() for run in done.values()})
        speeds = {
            label: [speed for run in runs if (speed := run.metrics()["examples_per_second"])]
            for label, runs in by_label.items()
        }
        text = (
            "Left: from the first report to the last, evaluations included; early stopping ends some trainings sooner. "
            "Right: rows of weight updates, without evaluations and the building of the graph. "
            f"Trainings at once on the machine: {' or '.join(map(str, jobs))}."
        )
        page.figure(time_figure(minutes, speeds), "time", text)


def runs_section(page: Page, order: Sequence[str], done: Runs, path: Path) -> None:
    """A line for each run, with a link from the page at `path` to its report where there is one."""
    page.section("runs", "Runs")
    rows: list[list[Cell]] = []
    for label in order:
        for (one, seed), run in sorted(done.items()):
            if one == label:
                test, took = run.metrics()["test"], training_seconds(run.folder)
                report: Cell = ""
                if (run.folder / "report.html").is_file():
                    report = Link("report", os.path.relpath(run.folder / "report.html", path.parent))
                figures = [f"{test['auc']:.5f}", f"{test['logloss']:.5f}", f"{test['calibration']:.3f}"]
                rows.append([label, report, str(seed), *figures, "" if took is None else duration(took)])
    text = (
        "Each run's working directory is LABEL/seed_SEED. ada-ensemble report --workdir=DIR writes a run's report; "
        "this page, written again, links to those that there are."
    )
    page.table(["", "", "seed", "AUC", "LogLoss", "calibration", "training time"], rows, text, 2)
