"""The order of charts in TensorBoard's Custom Scalars."""

import re
from collections.abc import Sequence

from tensorboard.plugins.custom_scalar.layout_pb2 import Category, Chart, Layout, MultilineChartContent

from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.reporting.combinations import DEPTH

QUALITY = (
    ("AUC", "metrics/auc"),
    ("LogLoss", "metrics/logloss|loss/log_loss"),
    ("Calibration: mean prediction over observed rate", "metrics/calibration"),
    ("Expected calibration error", "metrics/expected_calibration_error"),
)
LOSSES = (
    ("Whole loss", "loss/loss"),
    ("Terms of the loss", "loss/(?!loss$).*"),
    ("Learning rates", "learning_rate/.*"),
)
GATE_UPDATE = ("Gate update", "gate_update/.*")
STAGE = ("Stage", "schedule/stage")
EXITS = ("Share of rows by exit", f"{DEPTH}/load/.*")
EXPERTS = (
    ("Dead experts by layer", ".*/dead_experts"),
    ("Entropy of the gates (nats)", ".*/entropy"),
    ("Temperature", ".*/temperature"),
    ("K: the most choices kept per row", ".*/k"),
    ("How alike the experts are: mean absolute correlation", "experts/correlation/.*"),
)
COST = (
    ("FLOPs per example, as routed", "(speed|metrics)/flops_per_example"),
    ("Training examples per second", "speed/examples_per_second"),
)
EMBEDDINGS = (
    ("Mean norm of rows", "embeddings/norm/.*"),
    ("Share of rows that are zero", "embeddings/zero_rows/.*"),
)
INPUT = (
    ("Share of the time that training waited for rows", "input/wait"),
    ("Out-of-vocabulary share of all ids", "input/out_of_vocabulary/all"),
    ("Out-of-vocabulary share by field, validation", "input/out_of_vocabulary/(?!all$).*"),
)


def dashboard_layout(model: CTRModel) -> Layout:
    """The charts for a run of a `CTRModel`, by category; there are no empty ones.

    A category's title says which charts it has: models with other charts have other titles. TensorBoard merges the
    layouts of several runs by title, and drops the charts that a third run would add to a category of the second.
    """
    places = list(model.choice_names())
    layers = [(f"{one}: share of rows by expert", f"{re.escape(one)}/load/.*") for one in places if one != DEPTH]
    gates = [one for one in places if one != DEPTH]
    span = gates[0] if len(gates) == 1 else f"{gates[0]} to {gates[-1]}" if gates else ""
    categories = {
        "Quality": QUALITY,
        "Losses": LOSSES,
        "Gate update": [GATE_UPDATE] if model.gate_variables else [],
        "Stages": [STAGE] if model.stages() else [],
        f"Experts: {span}": layers,
        "Experts": EXPERTS if layers else [],
        "Exits": [EXITS] if DEPTH in places else [],
        "Cost and speed": COST,
        "Embeddings": EMBEDDINGS,
        "Input": INPUT,
    }
    return Layout(category=[_category(title, charts) for title, charts in categories.items() if charts])


def _category(title: str, charts: Sequence[tuple[str, str]]) -> Category:
    # TensorBoard matches from the tag's start; without $, "loss/l" would match every term that begins with it.
    lines = [Chart(title=name, multiline=MultilineChartContent(tag=[f"(?:{tags})$"])) for name, tags in charts]
    return Category(title=title, chart=lines)
