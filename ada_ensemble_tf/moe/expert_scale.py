"""From gates to the weights with which a layer sums its experts' outputs."""

from typing import Any, Literal

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import check_argument
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import full_precision

ExpertScaleName = Literal["none", "sqrt_k", "k", "unweighted", "learned"]

LEARNED_START = 0.1
"""As in LayerScale (arXiv 2103.17239), whose factors a residual branch starts with."""


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class ExpertScale(keras.layers.Layer):
    """The weights of experts in a layer's sum, made of their gates; K is the number of gates above 0 in a row.

    - "none": the gates. They sum to 1, so a sum of K unrelated outputs is about sqrt(K) times smaller than one output.
    - "sqrt_k", "k": the gates times sqrt(K) or K. With K equal gates, "k" is the plain sum of outputs.
    - "unweighted": 1 for each kept expert, as AdaEnsemble's original release sums. No gradient of the prediction
      reaches the gates; only auxiliary losses train them.
    - "learned": the gates times a learned factor for each expert, which starts at 0.1, so a layer starts close to its
      residual.

    Args:
        num_experts: E.
        kind: one of these.
        shared: whether a shared expert needs a learned factor too; `of_shared` has it.

    Call arguments:
        gates: `[B, E]`, non-negative.

    Returns:
        `[B, E]`, 0 where the gate is.

    Raises:
        ValueError: for another kind.

    Example:
        >>> ExpertScale(num_experts=3, kind="k")(tf.constant([[0.75, 0.25, 0.0]])).numpy()
        array([[1.5, 0.5, 0. ]], dtype=float32)
    """

    def __init__(self, num_experts: int, kind: str = "none", shared: bool = False, **kwargs: Any):
        kwargs["dtype"] = full_precision(kwargs.get("dtype"))
        super().__init__(**kwargs)
        check_argument("expert_scale", kind, ExpertScaleName)
        self.num_experts = num_experts
        self.kind = kind
        self.shared = shared

    def build(self, gates_shape: Shape) -> None:
        if self.kind == "learned":
            start = keras.initializers.Constant(LEARNED_START)
            shape = (self.num_experts + self.shared,)
            # Read by `of_shared` outside `call` too, where mixed precision must not round it.
            self.factors = self.add_weight(name="factors", shape=shape, initializer=start, autocast=False)

    def call(self, gates: tf.Tensor) -> tf.Tensor:
        if self.kind == "none":
            return gates
        if self.kind == "learned":
            return gates * self.factors[: self.num_experts]
        kept = tf.cast(gates > 0.0, gates.dtype)
        if self.kind == "unweighted":
            return kept
        count = tf.reduce_sum(kept, axis=1, keepdims=True)
        return gates * (tf.sqrt(count) if self.kind == "sqrt_k" else count)

    def of_shared(self, output: tf.Tensor) -> tf.Tensor:
        """The output of the shared expert, `[B, M]`, as it goes into the sum."""
        return output * self.factors[-1] if self.kind == "learned" else output

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_experts": self.num_experts, "kind": self.kind, "shared": self.shared}
