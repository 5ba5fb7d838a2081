"""The figures of the days that are done."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ada_ensemble_tf.progression.request import Request, day_folder
from data_pipelines.json_files import load_json

METRICS = ("auc", "normalized_entropy", "calibration")
TESTED, TRAINED = "tested.json", "trained.json"
"""In a day's folder: what testing and training found."""


@dataclasses.dataclass(frozen=True)
class _Tested:
    metrics: dict[str, float]
    seconds: float


@dataclasses.dataclass(frozen=True)
class _Trained:
    rows: int
    steps: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Day:
    """A day of one mode.

    Attributes:
        number: counted from 1.
        file: the raw log's name.
        mode: one of `request.MODES`.
        metrics: of the model of the days before on this day's rows; None for the first day.
        rows: rows that training then read, each as often as it was read; None if it is not done.
        seconds: that testing, preparing and training took, in the processes that finished them; None likewise. Work on
            the first day counts for each mode, though it was done once.
    """

    number: int
    file: str
    mode: str
    metrics: dict[str, float] | None
    rows: int | None
    seconds: float | None


def load_days(out: Path, request: Request, modes: Sequence[str]) -> list[Day]:
    """The days that are done, or tested at least, day by day. UserError: a file is damaged."""
    days = []
    for number, raw in enumerate(request.days, start=1):
        for mode in modes:
            folder = day_folder(out, mode, number)
            tested = _load(folder / TESTED, _Tested)
            trained = _load(folder / TRAINED, _Trained)
            if tested is None and trained is None:
                continue
            seconds = None if trained is None else trained.seconds + (tested.seconds if tested else 0.0)
            metrics, rows = tested and tested.metrics, trained and trained.rows
            days.append(Day(number, raw.name, mode, metrics, rows, seconds))
    return days


def totals(days: Sequence[Day]) -> dict[str, dict[str, float]]:
    """By mode: the mean of each metric over the tested days, NaN without any, and the sums of rows and seconds."""
    found: dict[str, dict[str, float]] = {}
    for mode in dict.fromkeys(day.mode for day in days):
        own = [day for day in days if day.mode == mode]
        tested = [day.metrics for day in own if day.metrics is not None]
        found[mode] = {
            name: sum(metrics[name] for metrics in tested) / len(tested) if tested else math.nan for name in METRICS
        }
        found[mode] |= {"rows": sum(day.rows or 0 for day in own), "seconds": sum(day.seconds or 0.0 for day in own)}
    return found


def _load(path: Path, kind: type) -> Any:
    return load_json(path, kind, f"delete {path} to do it again") if path.exists() else None
