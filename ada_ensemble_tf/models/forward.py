"""The result of a model's forward pass."""

import dataclasses

import tensorflow as tf

from ada_ensemble_tf.gates import GateReport


@dataclasses.dataclass
class Forward:
    """The result of a forward pass: the prediction, and what losses, reports and diagnosis read."""

    logit: tf.Tensor
    """`[B]` float32."""
    flops: tf.Tensor
    """FLOPs spent on the batch as routed, a float32 scalar."""
    terms: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    """Auxiliary loss terms by name, each a weighted scalar."""
    reports: dict[str, GateReport] = dataclasses.field(default_factory=dict)
    """Gate reports by the gate's place: layer_1 to layer_L, and depth."""
    tensors: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    """Intermediate tensors in order of computation, "logit" last, so that the first that is not finite can be named."""
    exit_logits: tf.Tensor | None = None
    """`[B, L]` logits of the exits, if the model has several; 0 where the exit's gate is 0, unless `every_exit`."""
    exit_gates: tf.Tensor | None = None
    """`[B, L]` gates over the exits."""
    every_exit: bool = False
    """Whether `exit_logits` has every row's logit at every exit."""
