"""The days as a table (Markdown and CSV) and as a figure."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from ada_ensemble_tf.progression.results import METRICS, Day, totals
from ada_ensemble_tf.reporting import figures
from data_pipelines.output import complete_file, write_complete

_NAMES = {"auc": "AUC", "normalized_entropy": "normalized entropy", "calibration": "calibration"}
_LABELS = {"continue": "continued each day", "anew": "anew on all days"}


def table(days: Sequence[Day]) -> str:
    """The table in Markdown."""
    head = ["day", "file", "mode", *_NAMES.values(), "rows trained", "seconds"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for day in days:
        cells = [str(day.number), day.file, day.mode, *(_figure((day.metrics or {}).get(name)) for name in METRICS)]
        lines.append(f"| {' | '.join([*cells, _count(day.rows), _count(day.seconds)])} |")
    for mode, sums in totals(days).items():
        cells = ["all", "mean, sum", mode, *(_figure(sums[name]) for name in METRICS)]
        lines.append(f"| {' | '.join([*cells, _count(sums['rows']), _count(sums['seconds'])])} |")
    return "\n".join(lines) + "\n"


def _figure(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.5f}"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def write_page(days: Sequence[Day], out: Path) -> None:
    """Writes days.md, days.csv and days.png."""
    write_complete(out / "days.md", table(days))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["day", "file", "mode", *METRICS, "rows_trained", "seconds"])
    for day in days:
        metrics = [(day.metrics or {}).get(name, "") for name in METRICS]
        rest = ["" if value is None else value for value in (day.rows, day.seconds)]
        writer.writerow([day.number, day.file, day.mode, *metrics, *rest])
    write_complete(out / "days.csv", text.getvalue())
    with complete_file(out / "days.png", "wb") as file:
        file.write(_drawn(days))


def _drawn(days: Sequence[Day]) -> bytes:
    figure, panels = figures.new_figure(height=5.0, columns=2, rows=2)
    modes = list(dict.fromkeys(day.mode for day in days))
    for panel, name in zip(panels, (*METRICS, "rows"), strict=True):
        for place, mode in enumerate(modes):
            own = [
                (d.number, d.rows if name == "rows" else (d.metrics or {}).get(name)) for d in days if d.mode == mode
            ]
            own = [(number, value) for number, value in own if value is not None]
            if own:
                panel.plot(*zip(*own, strict=True), "o-", color=figures.color(place), label=_LABELS[mode])
        figures.title(panel, "rows trained" if name == "rows" else _NAMES[name])
        figures.barely_grid(panel)
        panel.set_xlabel("day")
        panel.set_xticks(sorted({day.number for day in days}))
    panels[-1].set_ylim(bottom=0)
    panels[-1].legend(frameon=False)
    return figures.png(figure)
