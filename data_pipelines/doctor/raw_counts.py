"""Counts of a raw log, from which the check-up of raw files is computed."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from data_pipelines.doctor.duplicates import RowKeys, row_hash
from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.counting import LevelCounter
from data_pipelines.fields.crossing import crossed_levels
from data_pipelines.fields.declarations import Input
from data_pipelines.fields.numeric import NumericSample, bin_boundaries
from data_pipelines.fields.readings import read
from data_pipelines.fields.rules import numbers
from data_pipelines.raw import RawChunk
from data_pipelines.row_hashes import row_hashes, split_of_rows

NUMBERS = ("equal_frequency", "value", "log_value")
"""Transforms whose levels depend on what preparation learns; fields with them are sampled."""
FREQUENT = 20
"""Rows that a level needs to be in the vocabulary at the default --min_count."""
RARER = "(rarer levels)"
_COUNT_BYTES = 128 << 20
"""Memory of each of the four counters."""
_SALT = 4
_CROSS = "\ncross "
"""Begins the name of a cross's column; no raw column has such a name."""
_NUMBER_BINS = 256


@dataclasses.dataclass(frozen=True)
class FieldLevels:
    """The levels of a field.

    Attributes:
        distinct: how many levels there are.
        missing: share of the rows.
        rare: share of the rows whose level is not frequent; None if the transform has no such levels.
        top_level: the most frequent level; None if levels are not counted.
        top_share: its share of the rows.
        bins: number of equal-frequency bins that preparation will make; None for other rules.
        texts: `RARER` and the frequent levels [L]; None for numbers, which are counted in bins.
        halves: for a random half of the rows and the other half, rows of each of these levels by label [2, L, 2].

    For multi-valued fields, all shares except `missing` are shares of the values.
    """

    distinct: int
    missing: float
    rare: float | None
    top_level: str | None
    top_share: float | None
    bins: int | None
    texts: list[str] | None
    halves: np.ndarray


class RawCounts:
    """Counts levels of all rows and of positives, over all of the log and over a random half of it.

    Args:
        inputs: the fields.
        directory: where counts are spilled.
    """

    def __init__(self, inputs: Sequence[Input], directory: Path):
        self._columns = list(dict.fromkeys(field.column for field in inputs if not field.crossed))
        by_name = {field.name: field for field in inputs}
        self._crosses = {one: [by_name[name] for name in one.crossed] for one in inputs if one.crossed}
        counted = [_alone(field) for field in inputs if self.is_counted(field) and field.transform not in NUMBERS]
        self._sampled = [field for field in inputs if field.transform in NUMBERS]
        self._counters: dict[tuple[str, str], LevelCounter] = {}
        for rows in ("all", "half"):
            for label in ("any", "positive"):
                path = directory / f"{rows}-{label}"
                path.mkdir(exist_ok=True)
                self._counters[rows, label] = LevelCounter(counted, path, _COUNT_BYTES)
        # The label is sampled as one more number.
        self._sample = NumericSample([*self._sampled, Input("label", "label", "value")], seed=0)
        self._labels = np.zeros((2, 2), np.int64)
        self.keys = RowKeys(1)

    @property
    def labels(self) -> np.ndarray:
        """Rows with label 0 and 1 [2]."""
        return self._labels.sum(axis=0)

    @property
    def rows(self) -> int:
        """Rows so far."""
        return int(self._labels.sum())

    def add(self, chunk: RawChunk) -> None:
        """Counts a chunk of labelled rows."""
        assert chunk.label is not None
        half, one = split_of_rows(chunk.row_numbers, (0.5, 0.5), seed=0) == 0, chunk.label == 1
        self._labels += np.bincount(2 * half + one, minlength=4).reshape(2, 2)
        columns = self._with_crosses(chunk.columns)
        for (rows, label), counter in self._counters.items():
            counter.add(columns, (half | (rows == "all")) & (one | (label == "any")))
        if self._sampled:
            texts = [
                (read(distinct(chunk.columns, f.column), f.reading), codes(chunk.columns, f.column))
                for f in self._sampled
            ]
            values = np.stack([*(numbers(known)[code] for known, code in texts), chunk.label], axis=1)
            self._sample.merge(row_hashes(chunk.row_numbers, 0, _SALT), values)
        texts = [(distinct(chunk.columns, name), codes(chunk.columns, name)) for name in self._columns]
        self.keys.add(row_hash([known.hash(seed=0).to_numpy()[code] for known, code in texts]), one, 0)

    def is_counted(self, field: Input) -> bool:
        """Whether `field` has the field's levels: not those of a cross of bins, which only preparation knows."""
        return all(part.transform not in NUMBERS for part in self._crosses.get(field, ()))

    def _with_crosses(self, columns: pa.RecordBatch) -> pa.RecordBatch:
        for cross, parts in self._crosses.items():
            if self.is_counted(cross):
                texts, code = crossed_levels(columns, parts)
                array = pa.DictionaryArray.from_arrays(code, texts.to_arrow())
                columns = columns.append_column(_CROSS + cross.name, array)
        return columns

    def field(self, field: Input) -> FieldLevels:
        """The levels of a field. May be called once per field."""
        return self._of_numbers(field) if field in self._sampled else self._of_levels(field)

    def _of_levels(self, field: Input) -> FieldLevels:
        # Levels of one row need no memory: they are as many as the remaining rows. Not so if rows have several values.
        least = 1 if field.separator else 2
        everywhere = self._counters["all", "any"]
        # Two extra rows without a value, subtracted below, make sure that even one such row is reported.
        everywhere.add_counts(field.name, pl.DataFrame({"level": [""], "count": pl.Series([2], dtype=pl.Int64)}))
        found = everywhere.frequent_levels(field.name, least)
        found = found.with_columns(pl.col("count") - 2 * (pl.col("level") == "")).filter(pl.col("count") > 0)
        found = found.sort(["count", "level"], descending=[True, False])
        singles = 0 if field.separator else self.rows - int(found["count"].sum())
        values = int(found["count"].sum()) + singles
        missing = int(found.filter(pl.col("level") == "")["count"].sum())
        frequent = found.filter(pl.col("count") >= FREQUENT)
        top_level, top_count = found.row(0) if found.height else (None, 1)
        return FieldLevels(
            distinct=found.height + singles,
            missing=missing / self.rows,
            rare=1 - int(frequent["count"].sum()) / values,
            top_level=top_level,
            top_share=top_count / values,
            bins=None,
            texts=[RARER, *frequent["level"]],
            halves=self._halves(field, frequent, least),
        )

    def _halves(self, field: Input, frequent: pl.DataFrame, least: int) -> np.ndarray:
        """[2, 1 + L, 2] of L frequent levels."""
        counts = {("all", "any"): frequent["count"].to_numpy()}
        rest = {}
        for (rows, label), counter in self._counters.items():
            if (rows, label) != ("all", "any"):
                found = counter.frequent_levels(field.name, 1 if label == "positive" else least)
                joined = frequent.select("level").join(found, on="level", how="left", maintain_order="left")
                counts[rows, label] = joined["count"].fill_null(0).to_numpy()
            labels = self._labels[1] if rows == "half" else self._labels.sum(axis=0)
            total = labels[1] if label == "positive" else labels.sum()
            rest[rows, label] = max(total - counts[rows, label].sum(), 0)
        counts = {key: np.append(rest[key], found) for key, found in counts.items()}
        positives = np.stack([counts["half", "positive"], counts["all", "positive"] - counts["half", "positive"]])
        either = np.stack([counts["half", "any"], counts["all", "any"] - counts["half", "any"]])
        # A frequent level with only one row in the half is not reported there.
        return np.stack([np.maximum(either - positives, 0), positives], axis=2)

    def _of_numbers(self, field: Input) -> FieldLevels:
        hashes, values = self._sample.sample()
        v, one = values[:, self._sampled.index(field)], values[:, -1] == 1
        half = hashes % np.uint64(2) == 0
        known = ~np.isnan(v)
        at = np.quantile(v[known], np.arange(1, _NUMBER_BINS) / _NUMBER_BINS) if known.any() else np.empty(0)
        bins = np.where(known, np.searchsorted(np.unique(at), v, side="right") + 1, 0)
        keys = 2 * bins + one
        halves = [np.bincount(keys[chosen], minlength=2 * (_NUMBER_BINS + 1)) for chosen in (half, ~half)]
        return FieldLevels(
            distinct=len(np.unique(v[known])) + (not known.all()),
            missing=float(1 - known.mean()),
            rare=None,
            top_level=None,
            top_share=None,
            bins=len(bin_boundaries(v[np.isfinite(v)], field.bins)) + 1 if field.bins else None,
            texts=None,
            halves=np.stack(halves).reshape(2, -1, 2),
        )


def _alone(field: Input) -> Input:
    """The field with levels of its own, of hashed fields too: the doctor says how many would share a bucket."""
    column = _CROSS + field.name if field.crossed else field.column
    rule = "text" if field.buckets else field.transform
    return dataclasses.replace(field, transform=rule, column=column, buckets=0, shared_with="", crossed=())
