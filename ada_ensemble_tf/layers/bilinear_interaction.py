"""Bilinear interactions of pairs of fields."""

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.layers.fields import Shape, field_dimension
from ada_ensemble_tf.layers.sharded_layer import ShardableLayer

KINDS = ("all", "each", "interaction")


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class BilinearInteraction(ShardableLayer):
    """p_ij = (e_i W) * e_j for all pairs of fields i < j, in that order of pairs.

    FiBiNET (arXiv 1905.09433), section on the bilinear-interaction layer. `kind` says which pairs share W: "all" of
    them, those of "each" left field (W_i), or none, for one W_ij per "interaction". The paper counts F matrices for
    "each"; the last field is never on the left, so F - 1 are kept here.

    Args:
        num_fields: F.
        kind: which pairs share a matrix: one of `KINDS`.

    Call arguments:
        x: `[B, M]`, B may be 0.

    Returns:
        `[B, F * (F - 1) / 2 * D]`.

    Raises:
        ValueError: for arguments out of range, or if M is not a multiple of F.

    Example:
        >>> BilinearInteraction(num_fields=3)(tf.ones([2, 12])).shape
        TensorShape([2, 12])
    """

    def __init__(self, num_fields: int, kind: str = "interaction", **kwargs: Any):
        super().__init__(**kwargs)
        if num_fields < 2:
            raise ValueError(f"num_fields must be at least 2, to have pairs; received {num_fields}")
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}; received {kind!r}")
        self.num_fields = num_fields
        self.kind = kind
        self.left, self.right = np.array(list(itertools.combinations(range(num_fields), 2))).T

    def build(self, x_shape: Shape) -> None:
        self.dimension = field_dimension(x_shape, self.num_fields)
        matrices = {"all": (), "each": (self.num_fields - 1,), "interaction": (len(self.left),)}[self.kind]
        # Glorot's bound for one matrix; Keras' initialiser would take the number of matrices for a receptive field.
        bound = (3 / self.dimension) ** 0.5
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*matrices, self.dimension, self.dimension),
            initializer=keras.initializers.RandomUniform(-bound, bound),
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        fields = tf.reshape(x, [-1, self.num_fields, self.dimension])
        kernel = tf.convert_to_tensor(self.kernel)
        if self.kind == "interaction":
            left = tf.einsum("bpd,pde->bpe", tf.gather(fields, self.left, axis=1), kernel)
        else:
            # Each field is multiplied by its matrix once, not once per pair.
            equation = "bfd,de->bfe" if self.kind == "all" else "bfd,fde->bfe"
            left = tf.gather(tf.einsum(equation, fields[:, :-1], kernel), self.left, axis=1)
        products = left * tf.gather(fields, self.right, axis=1)
        return tf.reshape(products, [-1, len(self.left) * self.dimension])

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return (x_shape[0], len(self.left) * x_shape[-1] // self.num_fields)

    def flops(self) -> int:
        """Per row: the products with the matrices, and those of the pairs."""
        lefts = len(self.left) if self.kind == "interaction" else self.num_fields - 1
        return 2 * lefts * self.dimension**2 + len(self.left) * self.dimension

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_fields": self.num_fields, "kind": self.kind}
