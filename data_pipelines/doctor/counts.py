"""Counts of prepared rows, from which the check-up of a prepared directory is computed.

Legend: C columns of ids, F fields, N fields with values, V rows of the embedding table.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from data_pipelines.doctor.duplicates import RowKeys, row_hash
from data_pipelines.fields.rules import LARGEST_VALUE
from data_pipelines.fields.schema import PADDING, Schema
from data_pipelines.read.inputs import ids_of, values_of
from data_pipelines.read.preparation import SPLITS

if TYPE_CHECKING:
    # It imports TensorFlow, which takes seconds.
    from data_pipelines.read.dataset import PreparedData

BATCH_ROWS = 65_536
VALUE_BINS = 1024


class SplitCounts:
    """Counts over the rows of a split, in 16 bytes of memory for each level of each field.

    Args:
        schema: the fields.

    Attributes:
        rows: number of rows added.
        labels: rows with label 0 and 1 [2].
        other_labels: rows with any other label.
        padded: columns that hold `PADDING`, by multi-valued field; int64 [F].
        outside: ids that are not rows of their field; int64 [F].
        not_finite: values that are not finite numbers; int64 [N].
    """

    def __init__(self, schema: Schema):
        self._schema = schema
        fields = schema.fields
        self._first_columns = np.cumsum([0, *schema.widths[:-1]])
        self._low = np.repeat([field.offset for field in fields], schema.widths).astype(np.int32)
        self._size = np.repeat([field.size for field in fields], schema.widths).astype(np.uint32)
        self._may_be_padded = np.repeat([bool(field.separator) for field in fields], schema.widths)
        # Fields that share rows have counts of their own. The first one is of padding, which nothing reads.
        sizes = np.array([field.size for field in fields])
        self._starts = np.cumsum(sizes) - sizes + 1
        self._to_count = np.repeat(self._starts, schema.widths) - self._low
        self._levels = np.zeros(2 * (int(sizes.sum()) + 1), np.int64)
        n = len(schema.value_fields)
        self._value_bins = np.zeros((n, VALUE_BINS, 2), np.int64)
        self._sums, self._squares = np.zeros(n), np.zeros(n)
        self.rows, self.other_labels, self.labels = 0, 0, np.zeros(2, np.int64)
        self.padded, self.outside = np.zeros(len(fields), np.int64), np.zeros(len(fields), np.int64)
        self.not_finite = np.zeros(n, np.int64)

    def add(self, ids: np.ndarray, values: np.ndarray | None, label: np.ndarray) -> None:
        """Adds rows: ids int32 [n, C], values float32 [n, N], label [n]."""
        self.rows += len(label)
        one = label == 1
        self.other_labels += int((~one & (label != 0)).sum())
        self.labels += np.bincount(one, minlength=2)
        outside = (ids - self._low).view(np.uint32) >= self._size
        if outside.any():
            padding = outside & self._may_be_padded & (ids == PADDING)
            self.padded += self._by_field(padding)
            self.outside += self._by_field(outside & ~padding)
        places = ids.astype(np.int64) + self._to_count
        if outside.any():
            places[outside] = 0
        keys = 2 * places
        keys += one[:, None]
        # Unlike bincount, this makes no array of V zeros per batch.
        np.add.at(self._levels, keys.ravel(), 1)
        if values is not None:
            self._add_values(values, one)

    def levels(self, position: int) -> np.ndarray:
        """Ids of each level of a field with label 0 and 1: int64 [size, 2]. The first level is out of vocabulary."""
        field = self._schema.fields[position]
        return self._levels.reshape(-1, 2)[self._starts[position] : self._starts[position] + field.size]

    def value_bins(self, number: int) -> np.ndarray:
        """Rows with a value in each of many bins with label 0 and 1, of the n-th field with values: [bins, 2]."""
        return self._value_bins[number]

    def moments(self, number: int) -> tuple[float, float]:
        """Mean and standard deviation of the n-th field's finite values."""
        count = max(self._value_bins[number].sum(), 1)
        mean = self._sums[number] / count
        return float(mean), float(np.sqrt(max(self._squares[number] / count - mean**2, 0)))

    def _by_field(self, chosen: np.ndarray) -> np.ndarray:
        return np.add.reduceat(chosen.sum(axis=0), self._first_columns)

    def _add_values(self, values: np.ndarray, one: np.ndarray) -> None:
        finite = np.isfinite(values)
        self.not_finite += (~finite).sum(axis=0)
        values = np.where(finite, values, 0).astype(np.float64)
        self._sums += values.sum(axis=0)
        self._squares += (values**2).sum(axis=0)
        # Bins are narrow near 0, where values with long tails crowd, and wide far from it.
        scaled = np.arcsinh(100 * np.clip(values, -LARGEST_VALUE, LARGEST_VALUE)) / np.arcsinh(100 * LARGEST_VALUE)
        bins = ((scaled + 1) / 2 * (VALUE_BINS - 1)).round().astype(np.int64)
        for number in range(values.shape[1]):
            chosen = finite[:, number]
            keys = 2 * bins[chosen, number] + one[chosen]
            self._value_bins[number] += np.bincount(keys, minlength=2 * VALUE_BINS).reshape(-1, 2)


def count_rows(data: "PreparedData", keys: RowKeys, seen: Callable[[int], None]) -> dict[str, SplitCounts]:
    """Reads all rows once.

    Args:
        data: the prepared directory.
        keys: receives all rows, one group for each split.
        seen: called with the number of rows read so far.

    Raises:
        UserError: a record file is damaged; the message names it.
    """
    found, rows = {}, 0
    for group, split in enumerate(SPLITS):
        found[split] = SplitCounts(data.schema)
        if not data.rows[split]:
            continue
        with data.reading():
            for inputs, label, *_ in data.evaluation(split, BATCH_ROWS).as_numpy_iterator():
                ids, values = ids_of(inputs), values_of(inputs)
                found[split].add(ids, values, label)
                hashes = row_hash(ids) if values is None else row_hash([*ids.T, *values.T])
                keys.add(hashes, label == 1, group)
                rows += len(label)
                seen(rows)
    return found
