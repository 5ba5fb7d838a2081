"""What a report of one trained model rests on, in NumPy: gathered by `gathering`, shown by `run_page`."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ada_ensemble_tf.reporting.costs import Cost
from ada_ensemble_tf.reporting.gate_use import GateUse
from ada_ensemble_tf.reporting.importance import Columns, Importance
from ada_ensemble_tf.reporting.learning_curves import Curve
from ada_ensemble_tf.reporting.vocabulary_coverage import Coverage


@dataclasses.dataclass(frozen=True)
class Latency:
    """Milliseconds a call took, of batches of `batch` rows: median and ninth decile over `calls`."""

    label: str
    batch: int
    calls: int
    median: float
    ninth_decile: float


@dataclasses.dataclass(frozen=True)
class Evidence:
    """A trained model on its test split.

    Attributes:
        name: of the working directory.
        model: the model's name.
        facts: lines about run and data by name.
        results: what metrics.json holds.
        same_data: whether the data are those it was trained on.
        labels: `[N]` of the whole test split.
        probabilities: `[N]`.
        flops: an example, as routed.
        ids: `[n, C]` of the first n test rows, which all that follows reads.
        columns: where each field stands among them.
        value_name: what an id of a field stands for.
        gates: of these rows, `[n, E]` by place; {} for models whose gates cannot be asked row by row.
        choices: names of the choices by place.
        uses: of the gates.
        coverage: of the fields.
        importance: of the fields.
        costs: of the model as routed and, where it has several exits, of each.
        latencies: of the same.
        machine: where these were measured.
        training: curves of training by tag.
        validation: likewise.
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
    training: Mapping[str, Curve] = dataclasses.field(default_factory=dict)
    validation: Mapping[str, Curve] = dataclasses.field(default_factory=dict)
