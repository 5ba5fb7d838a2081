"""Shapes, and the embedding size of a feature map that is read field by field."""

from collections.abc import Sequence
from typing import Any, TypeAlias

Shape: TypeAlias = Sequence[Any]
"""The sizes of a tensor's axes; None where one is not known before a batch comes."""


def field_dimension(x_shape: Shape, num_fields: int) -> int:
    """D of a feature map `[B, M]` of `num_fields` fields.

    Raises:
        ValueError: if M is unknown or not a multiple of F.

    Example:
        >>> field_dimension((None, 6), num_fields=3)
        2
    """
    width = x_shape[-1]
    if width is None or width % num_fields:
        raise ValueError(
            f"the width M of x must be a multiple of num_fields; received M={width} and num_fields={num_fields}"
        )
    return width // num_fields
