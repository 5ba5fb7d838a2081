"""Dynamic propagation: each row runs through the MoE layers as deep as its depth gates say, and no deeper."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from ada_ensemble_tf.gates import GateReport
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.recomputing import recomputed
from ada_ensemble_tf.moe.dispatch import take_rows
from ada_ensemble_tf.moe.sparse_moe import SparseMoE


class Propagation(NamedTuple):
    """The results of running a batch through the layers."""

    exit_logits: tf.Tensor
    """`[B, L]`: exit l's logit for the rows with a depth gate there, 0 elsewhere."""
    outputs: list[tf.Tensor]
    """Each layer's output, for the rows that reached it."""
    reports: list[GateReport]
    """Each layer's gate report, over the rows that reached it."""
    reached: tf.Tensor
    """`[L]` float32: share of the batch's rows that ran through layer l."""
    flops: tf.Tensor
    """FLOPs spent on the batch in layers and estimators, as routed: a float32 scalar."""


def propagate(
    x0: tf.Tensor,
    depth_gates: tf.Tensor,
    layers: Sequence[SparseMoE],
    estimators: Sequence[Estimator],
    k: tf.Tensor,
    training: bool = False,
    gate_training: bool | None = None,
    summed: bool = False,
    recompute: bool = False,
) -> Propagation:
    """Runs x0 through the layers; a row leaves the batch after the last layer at which it has a depth gate.

    Algorithm 1 of AdaEnsemble (arXiv 2301.08353), with two slips in the paper corrected: exit l reads column l of the
    gates (the paper increments the depth before reading), and x0 is dispatched along with the rows, since gates and
    experts of deeper layers read it.

    Args:
        x0: `[B, M]`, or with views of it where the layers read such.
        depth_gates: `[B, L]`, non-negative; the estimator at exit l is computed for rows with a gate there.
        layers: the L MoE layers.
        estimators: the L estimators.
        k: K, experts to keep per row.
        training: training mode of the layers.
        gate_training: training mode of the layers' gates alone; by default that of the layers.
        summed: whether exit l's logit is the sum of estimators 1 to l, rather than estimator l's own.
        recompute: whether the backward pass computes the layers again, see `layers.recomputing`.

    Example:
        >>> layers = [SparseMoE(["dense"], num_fields=3) for _ in range(2)]
        >>> exits = tf.constant([[1.0, 0.0], [0.0, 1.0]])
        >>> done = propagate(tf.ones([2, 6]), exits, layers, [Estimator(), Estimator()], k=tf.constant(1))
        >>> done.reached.numpy()
        array([1. , 0.5], dtype=float32)
    """
    batch = tf.shape(x0)[0]
    x, rows, gates = layers[0].base(x0), tf.range(batch), depth_gates
    sums = tf.zeros([batch])
    exit_logits, outputs, reports, reached, flops = [], [], [], [], tf.constant(0.0)
    for depth, (layer, estimator) in enumerate(zip(layers, estimators, strict=True)):
        run = recomputed(layer) if recompute else layer
        x, report, layer_flops = run(x0, x, k=k, training=training, gate_training=gate_training)
        exits = tf.where(gates[:, depth] > 0.0)[:, 0]
        if summed:
            sums += estimator(x)
            logits, estimated = take_rows(sums, exits), rows
        else:
            logits, estimated = estimator(take_rows(x, exits)), exits
        exit_logits.append(tf.scatter_nd(tf.gather(rows, exits)[:, None], logits, [batch]))
        outputs.append(x)
        reports.append(report)
        reached.append(tf.shape(rows)[0] / tf.maximum(batch, 1))
        flops += layer_flops + float(estimator.flops()) * tf.cast(tf.shape(estimated)[0], tf.float32)
        if depth + 1 < len(layers):
            deeper = tf.where(tf.reduce_any(gates[:, depth + 1 :] > 0.0, axis=1))[:, 0]
            x0, x, gates = (take_rows(tensor, deeper) for tensor in (x0, x, gates))
            sums = take_rows(sums, deeper) if summed else sums
            rows = tf.gather(rows, deeper)
    return Propagation(
        exit_logits=tf.stack(exit_logits, axis=1),
        outputs=outputs,
        reports=reports,
        reached=tf.cast(tf.stack(reached), tf.float32),
        flops=flops,
    )
