"""Training and inference steps for timing: models of the paper's sizes with fixed routing, in turns."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.configs import published
from ada_ensemble_tf.models import AdaEnsemble, CTRModel
from ada_ensemble_tf.optimizers import make_optimizer

FIELDS, DIMENSION, LAYERS = 39, 16, 4
"""F, D and L of AdaEnsemble's paper (arXiv 2301.08353) on Criteo."""
EXPERT_SHARES = (0.2, 0.2, 0.4, 0.1, 0.1)
"""The paper's prior for gated dense, cross, polynomial, convolution and attention."""
EXIT_SHARES = (0.0653, 0.1936, 0.6643, 0.0768)
"""The shares of exits in the paper's table 4."""
FORM = {key: published.LAYERS[key] for key in ("experts", "normalization", "shared_expert", "head_units", "dropout")}
"""What else the paper's layers have."""


def make_mixture(
    cls: Callable[..., AdaEnsemble],
    num_rows: int,
    exits: bool = False,
    num_fields: int = FIELDS,
    num_layers: int = LAYERS,
    expert_shares: Sequence[float] = EXPERT_SHARES,
    **arguments: Any,
) -> AdaEnsemble:
    """A compiled mixture of the paper's layers, past its annealing, whose gates choose with given shares.

    New gates would route at random.

    Args:
        cls: AdaEnsemble or DenseMoE.
        num_rows: V.
        exits: whether rows exit early, with `EXIT_SHARES`; otherwise all rows run through all layers.
        num_fields: F.
        num_layers: L.
        expert_shares: the share of each expert; they sum to 1.
        **arguments: arguments of `cls`.
    """
    kept = {"k": published.LAYERS["k"]} if cls is AdaEnsemble else {}
    model = cls(
        num_rows,
        num_fields,
        dimension=DIMENSION,
        num_layers=num_layers,
        anneal_steps=0,
        expert_prior=tuple(expert_shares),
        depth_objective="straight_through" if exits else "none",
        l2=1e-4,
        **FORM | kept | arguments,
    )
    for number, layer in enumerate(model.moe_layers):
        choose_by_shares(layer.gate, expert_shares, number)
    if exits:
        choose_by_shares(model.depth_gate, EXIT_SHARES, num_layers)
    model.compile(*(make_optimizer(name) for name in ("group_ftrl", "adam", "adam")))
    return model


def choose_by_shares(gate: keras.layers.Layer, shares: Sequence[float], seed: int) -> None:
    """Makes the largest score of a row fall on choice j with probability `shares[j]`, the next ones accordingly."""
    computed, log_shares = gate.logits, np.log(np.array(shares, np.float32))

    def logits(x0: tf.Tensor, training: bool = False) -> tf.Tensor:
        scores = computed(x0, training)
        uniform = tf.random.stateless_uniform(tf.shape(scores), [0, seed], 1e-6, 1.0 - 1e-6)
        # Gumbel's trick: the largest of log share + noise is a draw by the shares, the k largest are draws without
        # replacement.
        return 1e-3 * scores + log_shares - tf.math.log(-tf.math.log(uniform))

    gate.logits = logits


def training_call(model: CTRModel, inputs: tf.Tensor, labels: tf.Tensor) -> Callable[[], None]:
    """One whole training step, done when its loss is known."""
    step = tf.function(model.training_logs)
    return lambda: step((inputs, labels))["loss"].numpy()


def inference_call(model: CTRModel, inputs: tf.Tensor, labels: tf.Tensor) -> Callable[[], None]:
    """Scoring the rows."""
    del labels
    score = tf.function(lambda rows: model(rows))
    return lambda: score(inputs).numpy()


def random_batch(num_rows: int, batch_size: int, num_fields: int = FIELDS) -> tuple[tf.Tensor, tf.Tensor]:
    """(ids `[B, F]` uniform over the table, labels `[B]`)."""
    random = np.random.default_rng(0)
    ids = random.integers(0, num_rows, (batch_size, num_fields))
    return tf.constant(ids, tf.int32), tf.constant(random.integers(0, 2, batch_size), tf.float32)


def flops_of(model: CTRModel, inputs: tf.Tensor) -> float:
    """FLOPs of a forward pass over the rows, as routed."""
    return float(model.forward(inputs).flops)


def alternate(calls: Mapping[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """The median seconds of each call, in turns; two untimed turns come first."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 2):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if turn >= 2:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in times.items()}
