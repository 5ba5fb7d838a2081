"""What layers of experts on a residual stream share: normalisation, dropout and what each expert reads."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import LayerNormalization, check_argument
from ada_ensemble_tf.experts import Expert
from ada_ensemble_tf.layers.dropout import make_dropout
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.normalization import RoutedBatchNormalization, make_normalization
from ada_ensemble_tf.layers.precision import upcast
from ada_ensemble_tf.layers.sharded_layer import ShardableLayer, gathered_weights
from ada_ensemble_tf.moe.expert_inputs import ExpertInputNormalization
from ada_ensemble_tf.moe.expert_lists import named

ExpertNormalization = Literal["none", "input", "output", "pre_activation"]
Views = Literal["none", "x0", "all"]


class ExpertLayer(ShardableLayer):
    """Experts whose outputs a subclass weighs, sums and adds to x; see `SparseMoE` for the arguments.

    Args:
        experts: the E routed experts.
        shared: an expert of all rows, number E, or None.
        normalization: of the sum, or "pre".
        expert_normalization: of each expert.
        dropout: share of the experts' inputs that training sets to 0.
        views: "none", or which inputs each expert reads in a view of its own, "x0" or "all".
    """

    def __init__(
        self,
        experts: Sequence[Expert],
        shared: Expert | None = None,
        normalization: str = "batch",
        expert_normalization: str = "none",
        dropout: float = 0.0,
        views: str = "none",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_argument("normalization", normalization, LayerNormalization)
        check_argument("expert_normalization", expert_normalization, ExpertNormalization)
        check_argument("views", views, Views)
        self.experts = list(experts)
        self.shared = shared
        self.normalization = normalization
        self.expert_normalization = expert_normalization
        self.dropout = dropout
        self.views = views
        self.drop = make_dropout(dropout)
        # With "pre", what experts read is normalised, and the sum is not.
        self.normalize = make_normalization("none" if normalization == "pre" else normalization, "normalize")
        self._make_norms()

    def _make_norms(self) -> None:
        """Makes the normalisations of x0, if an expert reads it, of x, and of each expert's output."""
        reads_x0 = self.views == "all" or any(expert.reads_x0 for expert in self._all_experts())
        sources, number = ["x0", "x"] if reads_x0 else ["x"], len(self._all_experts())
        self.pre_norms: dict[str, keras.layers.Layer] = {}
        self.expert_norms: dict[str, ExpertInputNormalization] = {}
        self.output_norms: list[RoutedBatchNormalization] = []
        if self.normalization == "pre":
            read = ["x0"] if self.views == "all" else sources
            self.pre_norms = {name: make_normalization("batch", f"normalize_{name}") for name in read}
        if self.expert_normalization == "input":
            parts = {"x": 1, "x0": 1 if self.views == "none" else 1 + len(self.experts)}
            self.expert_norms = {
                name: ExpertInputNormalization(number, parts[name], name=f"normalize_experts_{name}")
                for name in sources
            }
        elif self.expert_normalization != "none":
            names = [f"normalize_{expert.name}" for expert in self._all_experts()]
            self.output_norms = [RoutedBatchNormalization(name=name) for name in names]

    def _all_experts(self) -> list[Expert]:
        return [*self.experts] if self.shared is None else [*self.experts, self.shared]

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        self.width = x_shape[-1]
        for expert in self._all_experts():
            with named(expert.name, "experts" if expert is not self.shared else "shared_expert"):
                expert.build(x_shape, x_shape)
        for norms in (self.pre_norms, self.expert_norms):
            for name, norm in norms.items():
                norm.build(x0_shape if name == "x0" else x_shape)
        for norm in (*self.output_norms, self.normalize):
            norm.build(x_shape)

    def to_read(self, x0: tf.Tensor, x: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """x0 and x of all rows as experts read them, but for each expert's view, scale and shift."""
        seen = {"x0": x0, "x": x}
        for norms in (self.pre_norms, self.expert_norms):
            seen |= {name: norm(seen[name], training=training) for name, norm in norms.items()}
        if self.drop is not None:
            seen = {name: self.drop(rows, training=training) for name, rows in seen.items()}
        return seen["x0"], seen["x"]

    def base(self, x0: tf.Tensor) -> tf.Tensor:
        """`[B, M]`: x0 without the experts' views."""
        return x0 if self.views == "none" else x0[:, : self.width]

    def view(self, j: int, x0: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Expert j's view of what `to_read` gives; the shared expert's is x0 itself."""
        if self.views == "none":
            return x0, x
        start = 0 if j == len(self.experts) else (1 + j) * self.width
        own = x0[:, start : start + self.width]
        return own, own if self.views == "all" else x

    def run_expert(
        self, j: int, x0: tf.Tensor, x: tf.Tensor, training: bool = False, routed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Expert j's output `[B_j, M]` for rows of its view; its statistics cover those in `routed`, None for all."""
        expert = self._all_experts()[j]
        if self.expert_norms:
            x = self.expert_norms["x"].of_expert(j, x)
            x0 = self.expert_norms["x0"].of_expert(j, x0) if expert.reads_x0 else x
        if not self.output_norms:
            return expert(x0, x, training=training)
        before = self.expert_normalization == "pre_activation"
        output = expert.before_activation(x0, x, training) if before else expert(x0, x, training=training)
        output = self.output_norms[j](output, training=training, counted=routed)
        return expert.activate(x0, output) if before else output

    def run_on_all_rows(self, j: int, seen: tuple[tf.Tensor, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Expert j's output `[B, M]` for what `to_read` gives."""
        return self.run_expert(j, *self.view(j, *seen), training)

    def expert_outputs(self, x0: tf.Tensor, x: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Each routed expert's output for all rows, `[B, M]`."""
        with gathered_weights(self):
            seen = self.to_read(x0, x, training)
            return [self.run_on_all_rows(j, seen, training) for j in range(len(self.experts))]

    def add(self, x: tf.Tensor, mixed: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The layer's output: x plus the experts' sum, normalised."""
        return self.normalize(upcast(x) + mixed, training=training)
