"""Learning curves from the event files that training left for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ada_ensemble_tf.reporting.figures import COLORS, GREY, barely_grid, count_ticks, few_ticks, new_figure, title
from data_pipelines.errors import UserError
from data_pipelines.read.records import damaged_record


class Curve(NamedTuple):
    """A scalar over steps, both `[points]`."""

    steps: np.ndarray
    values: np.ndarray


def read_curves(folder: Path) -> dict[str, Curve]:
    """The scalars of a TensorBoard run by tag; {} where the folder has none.

    If training was interrupted and resumed, the later file counts where steps repeat. A killed process's incomplete
    last record is ignored.

    Raises:
        UserError: a file is damaged.
    """
    # Slow to import, and the rest of this module does not need it.
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util import tensor_util

    points: dict[str, dict[int, float]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*"), key=lambda file: file.stat().st_mtime_ns):
        if (place := damaged_record(file.read_bytes())) is not None:
            raise UserError(f"{file}: damaged at byte {place}; delete it: it holds learning curves and nothing else")
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    point = float(tensor_util.make_ndarray(value.tensor))
                    points.setdefault(value.tag, {})[event.step] = point
    return {tag: Curve(*map(np.array, zip(*sorted(one.items()), strict=True))) for tag, one in points.items()}


def learning_curves_figure(
    training: Mapping[str, Curve], validation: Mapping[str, Curve], best_step: int | None = None
) -> Figure:
    """LogLoss of training and validation, and validation AUC, over steps.

    Args:
        training: what `read_curves` returns for the training run; "loss/log_loss" is drawn.
        validation: the same for the validation run; "metrics/logloss" and "metrics/auc" are drawn.
        best_step: the step of the checkpoint that is kept.
    """
    figure, (losses, aucs) = new_figure(columns=2)
    for curves, tag, label, paint in (
        (training, "loss/log_loss", "training, mean since the last report", COLORS[4]),
        (validation, "metrics/logloss", "validation", COLORS[0]),
    ):
        if tag in curves:
            losses.plot(*curves[tag], color=paint, label=label, marker="o", markersize=3)
    if "metrics/auc" in validation:
        aucs.plot(*validation["metrics/auc"], color=COLORS[0], marker="o", markersize=3)
    title(losses, "LogLoss")
    title(aucs, "Validation AUC")
    for axes in (losses, aucs):
        axes.set_xlabel("weight updates")
        count_ticks(axes, "x")
        few_ticks(axes, "y")
        barely_grid(axes)
        if best_step is not None:
            axes.axvline(best_step, color=GREY, linestyle="--", linewidth=1, label=f"kept: step {best_step:,}")
    # Below the panels, where it covers no curve.
    by_label = {label: handle for axes in (losses, aucs) for handle, label in
                zip(*axes.get_legend_handles_labels(), strict=True)}  # fmt: skip
    if by_label:
        figure.legend(
            list(by_label.values()), list(by_label), loc="outside lower center", ncols=3, frameon=False, fontsize=8
        )
    return figure
