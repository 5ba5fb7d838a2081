"""What `BilevelModel.compile` refuses."""

from collections.abc import Sequence

import keras

from ada_ensemble_tf.optimizers import RowSparseOptimizer, leaves_rows
from ada_ensemble_tf.optimizers.averages import keeps_averages
from ada_ensemble_tf.optimizers.rounding import LOW
from ada_ensemble_tf.updates.grouped import GroupedModel


def check_loss(loss: str | None) -> None:
    """Raises ValueError for a loss other than the one that the model has anyway."""
    if loss not in (None, "binary_crossentropy"):
        raise ValueError(f"the loss is LogLoss with the model's own terms, see `objective`; received loss={loss!r}")


def check_xi(xi: float, stages: bool) -> None:
    """Raises ValueError for a step of the virtual weight update that is negative, or given for a model with stages."""
    if xi < 0.0:
        raise ValueError(f"xi must not be negative; received {xi}")
    if xi and stages:
        raise ValueError(f"the second-order gate update does not support stages: xi must be 0; received {xi}")


def check_averages(gate_weights: str, optimizers: Sequence[keras.optimizers.Optimizer], xi: float) -> None:
    """Checks that gate updates can see the weights that they are to learn for.

    Raises:
        ValueError: if `gate_weights` is neither "own" nor "averaged"; if it is "averaged" and an optimiser of weights
            keeps no averages, or `xi` is above 0.
    """
    if gate_weights not in ("own", "averaged"):
        raise ValueError(f"gate_weights must be 'own' or 'averaged'; received {gate_weights!r}")
    if gate_weights == "own":
        return
    if xi:
        raise ValueError(f"gate_weights='averaged' is for the first-order gate update: xi must be 0; received {xi}")
    for optimizer in optimizers:
        if not keeps_averages(optimizer):
            raise ValueError(
                f"gate_weights='averaged' needs averages, which {optimizer.name} does not keep: set ema_momentum above "
                "0 (in Keras, use_ema=True), or gate_weights='own'"
            )


def check_tables(model: GroupedModel, optimizer: keras.optimizers.Optimizer, xi: float) -> None:
    """Checks that an optimiser can train the model's embedding tables.

    Raises:
        ValueError: for 16-bit tables, if the optimiser does not round by chance or `xi` is above 0; for frozen rows, if
            the optimiser changes rows without a gradient.
    """
    low = [variable for variable in model.embedding_variables if variable.dtype in LOW]
    if low and not isinstance(optimizer, RowSparseOptimizer):
        raise ValueError(
            f"embedding_optimizer {optimizer.name!r} would round updates of {low[0].dtype} tables away: choose a "
            "row-sparse one, such as group_ftrl or sparse_adam, or set table_dtype to float32"
        )
    if low and xi:
        raise ValueError(f"xi must be 0 with {low[0].dtype} tables, which cannot be moved by xi and back; got {xi}")
    if any(getattr(model, "frozen_rows", ())) and not leaves_rows(optimizer):
        raise ValueError(
            "frozen rows of an embedding need an embedding_optimizer that updates only rows with a gradient, such "
            f"as RowSparseAdam; received {type(optimizer).__name__}"
        )
