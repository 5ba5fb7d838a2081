"""How many ids are rows of values out of vocabulary."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.layers.embedding import ids_of
from data_pipelines.fields.schema import Schema


class UnknownIds:
    """Shares of ids that are their field's out-of-vocabulary row; unused columns of multi-valued fields do not count.

    Args:
        schema: of the data.
    """

    def __init__(self, schema: Schema):
        self._names = [field.name for field in schema.fields]
        self._starts = np.cumsum([0, *schema.widths[:-1]])
        self._unknown = np.repeat([field.offset for field in schema.fields], schema.widths).astype(np.int32)

    def share(self, element: Any) -> tf.Tensor:
        """A float32 scalar: over all ids of a training element's weight updates, see `BilevelModel`."""
        inputs, _ = element["train"] if isinstance(element, Mapping) else element
        ids = ids_of(inputs)
        unknown, used = tf.math.count_nonzero(ids == tf.cast(self._unknown, ids.dtype)), tf.math.count_nonzero(ids >= 0)
        return tf.cast(unknown, tf.float32) / tf.cast(used, tf.float32)

    def shares(self, ids: np.ndarray) -> dict[str, float]:
        """Of ids `[N, C]`, by field, and over all of them as "all"."""
        unknown, used = ids == self._unknown, ids >= 0
        of_fields = [np.add.reduceat(one.sum(axis=0), self._starts) for one in (unknown, used)]
        shares = of_fields[0] / np.maximum(of_fields[1], 1)
        return dict(zip(self._names, shares.tolist(), strict=True)) | {"all": float(unknown.sum() / used.sum())}
