"""What every interaction module of DHEN is."""

from typing import Any

import keras

from ada_ensemble_tf.layers.fields import Shape


class InteractionModule(keras.layers.Layer):
    """A layer that maps a list of m embeddings, `[B, m, D]`, to one of l, `[B, l, D]`.

    A module has no residual around it; the DHEN layer adds the shortcut. It must accept a batch of zero rows.

    Args:
        num_outputs: l.

    Raises:
        ValueError: for arguments out of range, and if x is not `[B, m, D]` with m and D known.
    """

    def __init__(self, num_outputs: int, **kwargs: Any):
        super().__init__(**kwargs)
        if num_outputs < 1:
            raise ValueError(f"num_outputs must be at least 1; received {num_outputs}")
        self.num_outputs = num_outputs

    def build(self, x_shape: Shape) -> None:
        self.num_inputs, self.dimension = list_shape(x_shape)

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return (x_shape[0], self.num_outputs, x_shape[2])

    def flops(self) -> int:
        """Floating-point operations per row of a built module; a multiply-add counts as two."""
        raise NotImplementedError(f"{type(self).__name__} must define flops()")

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_outputs": self.num_outputs}


def list_shape(x_shape: Shape) -> tuple[int, int]:
    """(m, D) of the shape of a list of embeddings.

    Raises:
        ValueError: if it is not `[B, m, D]` with m and D known.
    """
    shape = tuple(x_shape)
    if len(shape) != 3 or None in shape[1:]:
        raise ValueError(f"x must be a list of embeddings [B, m, D] with m and D known; received shape {shape}")
    return shape[1:]
