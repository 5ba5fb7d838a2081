"""One layer of DHEN: an ensemble of interaction modules."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.dhen.base import list_shape
from ada_ensemble_tf.dhen.list_projection import ListProjection
from ada_ensemble_tf.dhen.modules import MODULES, make_module
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.dropout import make_dropout
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import upcast
from ada_ensemble_tf.layers.sharded_layer import ShardableLayer, gathered_weights

ENSEMBLES = ("concat", "sum", "weighted_sum")


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DHENLayer(ShardableLayer):
    """Y = Norm(Ensemble_i Interaction_i(X) + ShortCut(X)) (DHEN, arXiv 2203.11014, equations 1 and 2).

    X is a list of m embeddings; each of the n modules gives l of them. ShortCut is the identity if Y is as long as X,
    and a projection of the list otherwise. A weighted sum has one learnt scalar per module, which starts at 1. "layer"
    normalises each embedding on its own; "batch" normalises each element over the batch.

    "The raw numerical (dense) features can be part of the input to any modules for ensembling in every layer" (section
    2). A module in `numeric_modules` reads X and one more embedding, a linear map of the row's floats, which is the
    module's own.

    Args:
        modules: names of the interaction modules, see `ada_ensemble_tf.dhen.MODULES`; each at most once.
        num_outputs: l, embeddings that each module gives.
        ensemble: "concat" (Y has n * l embeddings), "sum" or "weighted_sum" (l).
        normalization: "layer", "batch" or "none".
        dropout: share of the ensemble's elements that training sets to 0, before the shortcut is added.
        module_arguments: arguments of modules other than `num_outputs`, by module name.
        numeric_modules: names of the modules that read the row's floats as well.

    Call arguments:
        x: `[B, m, D]`, B may be 0.
        values: `[B, N]`, the row's floats; needed only with `numeric_modules`.
        training: whether to apply dropout and use the batch's statistics.

    Returns:
        `[B, output_length, D]`.

    Raises:
        ValueError: for arguments out of range, named in the message.

    Example:
        >>> DHENLayer(("attention", "linear"), num_outputs=2)(tf.ones([1, 3, 4])).shape
        TensorShape([1, 4, 4])
    """

    def __init__(
        self,
        modules: Sequence[str] = ("dlrm", "linear"),
        num_outputs: int = 16,
        ensemble: str = "concat",
        normalization: str = "layer",
        dropout: float = 0.0,
        module_arguments: Mapping[str, Mapping[str, Any]] | None = None,
        numeric_modules: Sequence[str] = (),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not modules or len(set(modules)) != len(modules):
            raise ValueError(f"modules must name at least one module, each once; received {list(modules)}")
        if ensemble not in ENSEMBLES:
            raise ValueError(f"ensemble must be one of {ENSEMBLES}; received {ensemble!r}")
        module_arguments = {name: dict(own) for name, own in (module_arguments or {}).items()}
        if not set(module_arguments) <= set(MODULES):
            raise ValueError(
                f"the keys of module_arguments must be names of modules; received {sorted(module_arguments)}"
            )
        if not set(numeric_modules) <= set(modules):
            raise ValueError(f"numeric_modules must be among {list(modules)}; received {list(numeric_modules)}")
        self.module_names = tuple(modules)
        self.numeric_modules = tuple(numeric_modules)
        self.num_outputs = num_outputs
        self.ensemble = ensemble
        self.normalization = normalization
        self.dropout = dropout
        self.module_arguments = module_arguments
        self.interactions = [make_module(name, num_outputs, **module_arguments.get(name, {})) for name in modules]
        self.normalize = make_normalization(normalization, "normalize")
        self.drop = make_dropout(dropout)

    @property
    def output_length(self) -> int:
        """Number of embeddings in Y."""
        return self.num_outputs * (len(self.module_names) if self.ensemble == "concat" else 1)

    def build(self, x_shape: Shape, values_shape: Shape | None = None) -> None:
        length, self.dimension = list_shape(x_shape)
        if self.numeric_modules and values_shape is None:
            raise ValueError(f"the modules {', '.join(self.numeric_modules)} read floats; received none")
        self.numeric = {name: Dense(self.dimension, name=f"numeric_{name}") for name in self.numeric_modules}
        for dense in self.numeric.values():
            dense.build(tuple(values_shape or ()))
        for name, interaction in zip(self.module_names, self.interactions, strict=True):
            interaction.build((None, length + (name in self.numeric), self.dimension))
        self.shortcut = None
        if length != self.output_length:
            self.shortcut = ListProjection(self.output_length, name="shortcut")
            self.shortcut.build(x_shape)
        if self.ensemble == "weighted_sum":
            self.module_weights = self.add_weight(
                name="module_weights", shape=(len(self.interactions),), initializer="ones"
            )
        self.normalize.build(self._normalized_shape())

    def _normalized_shape(self) -> tuple[int | None, ...]:
        """Batch normalisation keeps statistics per element of the list, so it reads a flat feature map."""
        if self.normalization == "batch":
            return (None, self.output_length * self.dimension)
        return (None, self.output_length, self.dimension)

    def call(self, x: tf.Tensor, values: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        y = self._combine(self.module_outputs(x, values))
        if self.drop is not None:
            y = self.drop(y, training=training)
        y = upcast(y) + upcast(x if self.shortcut is None else self.shortcut(x))
        y = self.normalize(tf.reshape(y, [-1, *self._normalized_shape()[1:]]), training=training)
        return tf.reshape(y, [-1, self.output_length, self.dimension])

    def module_outputs(self, x: tf.Tensor, values: tf.Tensor | None = None) -> list[tf.Tensor]:
        """Each module's output for x, `[B, l, D]`."""
        lists = dict.fromkeys(self.module_names, x)
        with gathered_weights(self):
            for name, dense in self.numeric.items():
                lists[name] = tf.concat([x, tf.cast(dense(values), x.dtype)[:, None, :]], axis=1)
            return [interaction(lists[name]) for name, interaction in zip(lists, self.interactions, strict=True)]

    def _combine(self, outputs: list[tf.Tensor]) -> tf.Tensor:
        if self.ensemble == "concat":
            return tf.concat(outputs, axis=1)
        if self.ensemble == "sum":
            return tf.add_n(outputs)
        weights = tf.unstack(tf.convert_to_tensor(self.module_weights))
        return tf.add_n([weight * output for weight, output in zip(weights, outputs, strict=True)])

    def compute_output_shape(self, x_shape: Shape, values_shape: Shape | None = None) -> Shape:
        return (x_shape[0], self.output_length, x_shape[2])

    def flops(self) -> int:
        """Per row: modules, maps of floats, shortcut and products of a weighted sum; no normalisation, no sums."""
        shortcut = self.shortcut.flops() if self.shortcut is not None else 0
        weighting = 2 * len(self.interactions) * self.output_length * self.dimension
        modules = sum(interaction.flops() for interaction in self.interactions)
        numeric = sum(2 * dense.kernel.shape[0] * dense.kernel.shape[1] for dense in self.numeric.values())
        return modules + numeric + shortcut + weighting * (self.ensemble == "weighted_sum")

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "modules": list(self.module_names),
            "num_outputs": self.num_outputs,
            "ensemble": self.ensemble,
            "normalization": self.normalization,
            "dropout": self.dropout,
            "module_arguments": self.module_arguments,
            "numeric_modules": list(self.numeric_modules),
        }
