"""The data behind the report of one trained model, in NumPy: `gathering` collects it, `run_page` shows it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ada_ensemble_tf.reporting.baselines import Baseline
from ada_ensemble_tf.reporting.costs import Cost
from ada_ensemble_tf.reporting.gate_use import GateUse
from ada_ensemble_tf.reporting.importance import Columns, Importance
from ada_ensemble_tf.reporting.learning_curves import Curve
from ada_ensemble_tf.reporting.vocabulary_coverage import Coverage


@dataclasses.dataclass(frozen=True)
class Latency:
    """Milliseconds per call on batches of `batch` rows: median and ninth decile over `calls`."""

    label: str
    batch: int
    calls: int
    median: float
    ninth_decile: float


@dataclasses.dataclass(frozen=True)
class Evidence:
    """A trained model on its test split.

    Attributes:
        name: the working directory's name.
        model: the model's name.
        facts: facts about run and data, by name.
        results: what metrics.json holds.
        monitor: the validation metric that chose the kept checkpoint, one of `config_ranges.MONITORED`.
        same_data: whether the data are those that the model was trained on.
        labels: the labels of the whole test split, `[N]`.
        probabilities: `[N]`.
        weights: `[N]`; None where rows have none. Metrics and intervals weigh rows; figures of rows do not.
        flops: FLOPs per example, as routed.
        positive: what rows of label 1 are, in the words of the user's table, such as "liked = yes".
        baselines: what the model is compared with, on the whole test split.
        command: the command that trained it; "" where it was trained from Python.
        changed: config keys whose value is not the model's default: (key, value, default).
        ids: `[n, C]` of the first n test rows; everything below is about these.
        columns: the position of each field among them.
        value_name: what an id of a field stands for.
        gates: the gates of these rows, `[n, E]`, by place; {} if the model cannot give them row by row.
        choices: names of the choices by place.
        uses: how the gates use their choices.
        coverage: the fields' out-of-vocabulary shares.
        importance: the fields' permutation importance.
        costs: costs of the model as routed and, if it has several exits, of each exit.
        latencies: latencies of the same.
        machine: the machine that they were measured on.
        training: curves of training, by tag.
        validation: curves of validation, by tag.
    """

    name: str
    model: str
    facts: Mapping[str, str]
    results: Mapping[str, Any]
    same_data: bool
    labels: np.ndarray
    probabilities: np.ndarray
    flops: float
    ids: np.ndarray
    columns: Mapping[str, Columns]
    value_name: Callable[[str, int], str]
    gates: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    choices: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    uses: Sequence[GateUse] = ()
    coverage: Sequence[Coverage] = ()
    importance: Sequence[Importance] = ()
    costs: Sequence[Cost] = ()
    latencies: Sequence[Latency] = ()
    machine: str = ""
    monitor: str = "auc"
    weights: np.ndarray | None = None
    positive: str = "label = 1"
    baselines: Sequence[Baseline] = ()
    command: str = ""
    changed: Sequence[tuple[str, str, str]] = ()
    training: Mapping[str, Curve] = dataclasses.field(default_factory=dict)
    validation: Mapping[str, Curve] = dataclasses.field(default_factory=dict)
