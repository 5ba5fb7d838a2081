"""Evidence of a model that nobody trained, sound unless a test breaks it."""

import numpy as np

from ada_ensemble_tf.evaluation.intervals import auc_interval
from ada_ensemble_tf.reporting.costs import Cost
from ada_ensemble_tf.reporting.evidence import Evidence, Latency
from ada_ensemble_tf.reporting.gate_use import gate_uses
from ada_ensemble_tf.reporting.importance import Columns, permutation_importance
from ada_ensemble_tf.reporting.learning_curves import Curve
from ada_ensemble_tf.reporting.vocabulary_coverage import coverage

COLUMNS = {"user": Columns(slice(0, 1), slice(0, 0)), "city": Columns(slice(1, 2), slice(0, 0))}
OFFSETS = {"user": 0, "city": 40}
CHOICES = {
    "layer_1": ("dense", "cross", "attention"),
    "layer_2": ("dense", "cross", "attention"),
    "depth": ("exit_1", "exit_2"),
}
ROWS = 4000


def made_up_evidence(with_gates: bool = True, **changes) -> Evidence:
    """A sound model on 4,000 rows of two fields; `changes` replace attributes of the evidence."""
    rng = np.random.default_rng(12)
    ids = np.stack([rng.integers(0, 40, ROWS), 40 + rng.integers(1, 5, ROWS)], axis=1)
    p = ids[:, 0] / 50.0 + 0.05
    labels = (rng.random(ROWS) < p).astype(np.float64)
    gates = {}
    if with_gates:
        gates = {place: rng.dirichlet(np.ones(len(names)), ROWS) for place, names in CHOICES.items()}
        gates["depth"] = np.eye(2)[(ids[:, 1] > 42).astype(int)]
    auc = auc_interval(labels, p)
    names = ("as routed", "exit_1", "exit_2") if with_gates else ("as routed",)
    steps = np.array([10, 20, 30, 40])
    values = {
        "name": "runs/made_up",
        "model": "ada_ensemble" if with_gates else "dnn",
        "facts": {"trained": "2026-01-02 03:04 UTC", "training time": "5 s", "data": "made up <by hand>"},
        "results": {"test": {"auc": auc.value}, "best_step": 30, "config": {"seed": 7, "model": {"k": 2}}},
        "positive": "liked = yes",
        "command": "ada-ensemble train --config=mine.py:dnn",
        "changed": [("seed", "7", "0")],
        "same_data": True,
        "labels": labels,
        "probabilities": p,
        "flops": 1234.0,
        "ids": ids,
        "columns": COLUMNS,
        "value_name": lambda field, id: f"{field} no. {id - OFFSETS[field]}",
        "gates": gates,
        "choices": CHOICES if with_gates else {},
        "uses": gate_uses(gates, CHOICES),
        "coverage": coverage({"train": ids, "validation": ids, "test": ids}, COLUMNS, OFFSETS),
        "importance": permutation_importance(lambda ids, _: ids[:, 0] / 50.0 + 0.05, labels, ids, None, COLUMNS),
        "costs": [Cost(name, 1000.0 * (i + 1), auc, not i) for i, name in enumerate(names)],
        "latencies": [Latency(name, batch, 10, 1.5, 2.5) for name in names for batch in (1, 512)],
        "machine": "an abacus",
        "training": {"loss/log_loss": Curve(steps, np.array([0.6, 0.55, 0.5, 0.48]))},
        "validation": {
            "metrics/auc": Curve(steps, np.array([0.6, 0.65, 0.7, 0.69])),
            "metrics/logloss": Curve(steps, np.array([0.62, 0.58, 0.55, 0.551])),
        },
    }
    return Evidence(**(values | changes))
