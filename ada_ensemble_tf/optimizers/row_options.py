"""The options of row-sparse optimisers, checked."""

from collections.abc import Mapping
from typing import Any

from ada_ensemble_tf.optimizers.clipping import check_clipping

SLOT_TYPES = ("float32", "bfloat16")
"""The types in which slots of float32 and 16-bit variables can be stored."""
SLOT_PLACES = ("device", "host")
"""Whose memory holds the slots."""
WHOLE_TABLE_OPTIONS = (
    "weight_decay",
    "ema_overwrite_frequency",
    "gradient_accumulation_steps",
    "loss_scale_factor",
)
"""Options of Keras' optimisers that read or write all rows at each step, or have no row-sparse form."""


def check_options(optimizer: str, slot_dtype: str, slots_on: str, others: Mapping[str, Any]) -> None:
    """Checks the options of an optimiser whose cost depends on the rows of the batch.

    Args:
        optimizer: its class's name, for messages.
        slot_dtype: see `SLOT_TYPES`.
        slots_on: see `SLOT_PLACES`.
        others: the options that it passes on to Keras.

    Raises:
        ValueError: for an option of `WHOLE_TABLE_OPTIONS`, a clipping that is not positive, an unknown type or place.
    """
    # Compared with None, because Keras walks the table for a weight decay of 0 too.
    given = {option: others[option] for option in WHOLE_TABLE_OPTIONS if others.get(option) is not None}
    refused = {option: value for option, value in given.items() if value is not False}
    if refused:
        raise ValueError(
            f"{optimizer} updates only the rows of the batch, which these options do not allow: received {refused}; "
            "leave them out"
        )
    check_clipping(others)
    if slot_dtype not in SLOT_TYPES:
        raise ValueError(f"slot_dtype must be one of {', '.join(SLOT_TYPES)}; received {slot_dtype!r}")
    if slots_on not in SLOT_PLACES:
        raise ValueError(f"slots_on must be one of {', '.join(SLOT_PLACES)}; received {slots_on!r}")
