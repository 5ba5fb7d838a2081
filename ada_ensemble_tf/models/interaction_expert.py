"""Experts that model the interactions of fields in different ways and give vectors of one size."""

from collections.abc import Sequence
from typing import Annotated, Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Among, Names
from ada_ensemble_tf.layers.cin import CompressedInteractionNetwork
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape, field_dimension
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.models.dcn_v2 import MatrixCross

INTERACTIONS = ("cin", "cross", "mlp", "fm")
Interaction = Annotated[str, Among(INTERACTIONS)]
Interactions = Annotated[Names, Among(INTERACTIONS)]


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class InteractionExpert(keras.layers.Layer):
    """activation(W normalise(I(x0)) + b), where I is a network that models interactions.

    "cin": the compressed interaction network (xDeepFM, arXiv 1803.05170), `[B, H_1 + .. + H_T]`. "cross": crosses
    x_{l+1} = x0 * (W_l x_l + b_l) + x_l, starting at x0 (DCN V2, arXiv 2008.13535), `[B, M]`. "mlp": dense layers.
    "fm": sum_{i<j} v_i * v_j over the fields, 1/2 ((sum_i v_i)^2 - sum_i v_i^2) element by element, whose sum over D is
    the pairwise term of the factorisation machine (ICDM 2010), `[B, D]`. D-MoE (arXiv 2505.17925) draws on these kinds
    of expert. W brings them all to one size so that they can be weighted and summed.

    Args:
        interaction: I, one of `INTERACTIONS`.
        num_fields: F.
        size: A.
        feature_maps: H_1 to H_T of "cin".
        num_crosses: the number of crosses of "cross".
        hidden_units, dropout: for "mlp"; see `MLP`.
        activation: a Keras activation, after W and within "mlp".
        normalization: "batch", "layer" or "none", before W and within "mlp". Products of many fields have different
            scales for different I.

    Call arguments:
        x0: `[B, M]`, B may be 0.
        training: training mode of normalisation and dropout.

    Returns:
        `[B, A]`.

    Raises:
        ValueError: for arguments out of range, or if M is not a multiple of F.

    Example:
        >>> InteractionExpert("fm", num_fields=2, size=3)(tf.ones([1, 4])).shape
        TensorShape([1, 3])
    """

    def __init__(
        self,
        interaction: str,
        num_fields: int,
        size: int = 64,
        feature_maps: Sequence[int] = (64, 64),
        num_crosses: int = 2,
        hidden_units: Sequence[int] = (200, 200),
        activation: str = "relu",
        normalization: str = "batch",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if interaction not in INTERACTIONS:
            raise ValueError(f"interaction must be one of {INTERACTIONS}; received {interaction!r}")
        if size < 1 or num_crosses < 1:
            raise ValueError(f"size and num_crosses must be at least 1; received {size} and {num_crosses}")
        self.interaction = interaction
        self.num_fields = num_fields
        self.size = size
        self.feature_maps = tuple(feature_maps)
        self.num_crosses = num_crosses
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.normalization = normalization
        self.dropout = dropout
        if interaction == "cin":
            self.layers = [CompressedInteractionNetwork(num_fields, feature_maps, name="cin")]
        elif interaction == "cross":
            self.layers = [MatrixCross(name=f"cross_{i}") for i in range(1, num_crosses + 1)]
        elif interaction == "mlp":
            self.layers = [MLP(hidden_units, activation, normalization, dropout, name="mlp")]
        else:
            self.layers = []
        self.normalize = make_normalization(normalization, "normalize")
        self.project = Dense(size, activation=activation, name="project")

    def build(self, x0_shape: Shape) -> None:
        shape = tuple(x0_shape)
        self.dimension = field_dimension(shape, self.num_fields)
        self.width = shape[-1]
        for layer in self.layers:
            layer.build(*((shape, shape) if self.interaction == "cross" else (shape,)))
        widths = {"cin": sum(self.feature_maps), "mlp": self.hidden_units[-1], "fm": self.dimension}
        inner = (None, widths.get(self.interaction, self.width))
        self.normalize.build(inner)
        self.project.build(inner)

    def call(self, x0: tf.Tensor, training: bool = False) -> tf.Tensor:
        if self.interaction == "fm":
            x = self._pairs(x0)
        elif self.interaction == "cross":
            x = x0
            for cross in self.layers:
                x = cross(x0, x)
        elif self.interaction == "mlp":
            x = self.layers[0](x0, training=training)
        else:
            x = self.layers[0](x0)
        return self.project(self.normalize(x, training=training))

    def _pairs(self, x0: tf.Tensor) -> tf.Tensor:
        # The difference of two sums that nearly cancel needs float32.
        v = tf.reshape(tf.cast(x0, tf.float32), [-1, self.num_fields, self.dimension])
        pairs = 0.5 * (tf.square(tf.reduce_sum(v, axis=1)) - tf.reduce_sum(tf.square(v), axis=1))
        return tf.cast(pairs, self.compute_dtype)

    def compute_output_shape(self, x0_shape: Shape) -> Shape:
        return (x0_shape[0], self.size)

    def flops(self) -> int:
        """Per row: the interactions and W. "fm": F D sums, F D squares and their sums, and 2 D for the difference."""
        interactions = sum(layer.flops() for layer in self.layers)
        if self.interaction == "fm":
            interactions = 3 * self.width + 2 * self.dimension
        return interactions + 2 * self.project.kernel.shape[0] * self.size

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that the experts of a model share."""
        return {
            "feature_maps": list(self.feature_maps),
            "num_crosses": self.num_crosses,
            "hidden_units": list(self.hidden_units),
            "activation": self.activation,
            "normalization": self.normalization,
            "dropout": self.dropout,
        }

    def get_config(self) -> dict[str, Any]:
        own = {"interaction": self.interaction, "num_fields": self.num_fields, "size": self.size}
        return super().get_config() | own | self.arguments()
