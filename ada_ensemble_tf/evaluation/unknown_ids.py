"""Counts ids that are out of vocabulary."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipelines.fields.schema import Schema
from data_pipelines.json_files import load_json
from data_pipelines.read.inputs import Inputs, ids_of

logger = logging.getLogger(__name__)

FILE = "unknown_ids.json"
"""File in a training directory with the training split's share of out-of-vocabulary ids by field."""
NEARLY_ALL = 0.9
HALF = 0.5
"""A field that was unknown this often in training gives no warning when it is unknown."""
_FEWEST = 20
"""Fewer values than this give no meaningful share."""


class UnknownIds:
    """Shares of ids that are the field's out-of-vocabulary row; unused columns of multi-valued fields do not count.

    Args:
        schema: of the data.
    """

    def __init__(self, schema: Schema):
        self._names = [field.name for field in schema.fields]
        self._starts = np.cumsum([0, *schema.widths[:-1]])
        self._unknown = np.repeat([field.offset for field in schema.fields], schema.widths).astype(np.int32)

    def share(self, element: Any) -> tf.Tensor:
        """The share over all ids of a training element's weight updates, a float32 scalar; see `BilevelModel`."""
        ids = ids_of((element["train"] if isinstance(element, Mapping) else element)[0])
        unknown, used = tf.math.count_nonzero(ids == tf.cast(self._unknown, ids.dtype)), tf.math.count_nonzero(ids >= 0)
        return tf.cast(unknown, tf.float32) / tf.cast(used, tf.float32)

    def counts(self, ids: np.ndarray) -> np.ndarray:
        """By field, how many of the ids `[N, C]` are out of vocabulary and how many there are: int64 `[2, F]`."""
        both = (ids == self._unknown, ids >= 0)
        return np.stack([np.add.reduceat(one.sum(axis=0), self._starts) for one in both])

    def shares(self, ids: np.ndarray) -> dict[str, float]:
        """The share of ids `[N, C]` by field, and over all fields as "all"."""
        return self.shares_of(self.counts(ids))

    def shares_of(self, counts: np.ndarray) -> dict[str, float]:
        """`shares` from the `counts` of ids."""
        shares = counts[0] / np.maximum(counts[1], 1)
        unknown, used = counts.sum(axis=1)
        return dict(zip(self._names, shares.tolist(), strict=True)) | {"all": float(unknown / used)}


class UnknownFields:
    """Finds fields that are nearly always out of vocabulary in some rows although they were not in training.

    Args:
        schema: of the data.
        workdir: the training's directory, which has the training split's shares in `FILE`; earlier versions wrote no
            such file.
    """

    def __init__(self, schema: Schema, workdir: str | Path):
        file = Path(workdir) / FILE
        self._training = load_json(file, dict[str, float]) if file.exists() else {}
        # A field without levels was never known.
        self._known = [field.name for field in schema.fields if field.size > 1]
        self._ids = UnknownIds(schema)
        self._counts = np.zeros((2, schema.num_fields), np.int64)
        self._names = [field.name for field in schema.fields]

    def add(self, inputs: Inputs) -> None:
        """Counts the ids of rows, given as tensors or arrays."""
        self._counts += self._ids.counts(np.asarray(ids_of(inputs)))

    def watching(self, batches: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Passes (inputs, labels, ..) batches on and counts their ids."""
        for batch in batches:
            self.add(batch[0])
            yield batch

    def warn(self) -> None:
        """Logs a warning for each such field."""
        shares = self._ids.shares_of(self._counts) if self._counts[1].any() else {}
        for name, rows in zip(self._names, self._counts[1].tolist(), strict=True):
            before = self._training.get(name, 0.0)
            if name in self._known and rows >= _FEWEST and shares[name] >= NEARLY_ALL and before < HALF:
                training = f"{100 * before:.1f} % in training" if name in self._training else "not so in training"
                logger.warning(
                    "field %s: %.1f %% of its %s values are out of vocabulary, %s; "
                    "is its column written as it was in training?",
                    *(name, 100 * shares[name], f"{rows:,}", training),
                )


def training_shares(schema: Schema, batches: Iterable[tuple[Any, ...]]) -> dict[str, float]:
    """The share of out-of-vocabulary ids by field, in (inputs, labels, ..) batches of the training split."""
    unknown = UnknownIds(schema)
    counts = sum(unknown.counts(np.asarray(ids_of(inputs))) for inputs, *_ in batches)
    return unknown.shares_of(np.asarray(counts))
