"""How many ids are rows of values out of vocabulary."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.layers.embedding import Inputs, ids_of
from data_pipelines.fields.schema import Schema
from data_pipelines.json_files import load_json

logger = logging.getLogger(__name__)

FILE = "unknown_ids.json"
"""In a training directory: the share of ids that are out of vocabulary, by field, in the training split."""
NEARLY_ALL = 0.9
HALF = 0.5
"""A field that was unknown so often in training tells nothing by being unknown."""
_FEWEST = 20
"""Values of which a share says something."""


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

    def counts(self, ids: np.ndarray) -> np.ndarray:
        """Of ids `[N, C]`, how many are out of vocabulary and how many there are, by field: int64 `[2, F]`."""
        both = (ids == self._unknown, ids >= 0)
        return np.stack([np.add.reduceat(one.sum(axis=0), self._starts) for one in both])

    def shares(self, ids: np.ndarray) -> dict[str, float]:
        """Of ids `[N, C]`, by field, and over all of them as "all"."""
        return self.shares_of(self.counts(ids))

    def shares_of(self, counts: np.ndarray) -> dict[str, float]:
        """The same of `counts` of ids."""
        shares = counts[0] / np.maximum(counts[1], 1)
        unknown, used = counts.sum(axis=1)
        return dict(zip(self._names, shares.tolist(), strict=True)) | {"all": float(unknown / used)}


class UnknownFields:
    """Which fields of some rows are nearly all out of vocabulary, though they were not in training.

    Args:
        schema: of the data.
        workdir: of the training, which has the shares of the training split in `FILE`; a training of an earlier
            version left none.
    """

    def __init__(self, schema: Schema, workdir: str | Path):
        file = Path(workdir) / FILE
        self._training = load_json(file, dict[str, float]) if file.exists() else {}
        # A field without levels of its own was never known.
        self._known = [field.name for field in schema.fields if field.size > 1]
        self._ids = UnknownIds(schema)
        self._counts = np.zeros((2, schema.num_fields), np.int64)
        self._names = [field.name for field in schema.fields]

    def add(self, inputs: Inputs) -> None:
        """Counts the ids of rows, as tensors or arrays."""
        self._counts += self._ids.counts(np.asarray(ids_of(inputs)))

    def watching(self, batches: Iterable[tuple[Inputs, tf.Tensor]]) -> Iterator[tuple[Inputs, tf.Tensor]]:
        """Gives (inputs, labels) batches on, and counts their ids."""
        for inputs, labels in batches:
            self.add(inputs)
            yield inputs, labels

    def warn(self) -> None:
        """Logs a line for each such field."""
        shares = self._ids.shares_of(self._counts) if self._counts[1].any() else {}
        for name, rows in zip(self._names, self._counts[1].tolist(), strict=True):
            before = self._training.get(name, 0.0)
            if name in self._known and rows >= _FEWEST and shares[name] >= NEARLY_ALL and before < HALF:
                training = f"{100 * before:.1f} % in training" if name in self._training else "not so in training"
                logger.warning(
                    "field %s: %.1f %% of its %s values are out of vocabulary, %s; "
                    "is its column written as it was then?",
                    *(name, 100 * shares[name], f"{rows:,}", training),
                )


def training_shares(schema: Schema, batches: Iterable[tuple[Inputs, tf.Tensor]]) -> dict[str, float]:
    """The share of ids out of vocabulary by field, of (inputs, labels) batches of the training split."""
    unknown = UnknownIds(schema)
    counts = sum(unknown.counts(np.asarray(ids_of(inputs))) for inputs, _ in batches)
    return unknown.shares_of(np.asarray(counts))
