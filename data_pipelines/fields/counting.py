"""Counting the levels of every field in bounded memory."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import polars as pl
import pyarrow as pa

from data_pipelines.fields.canonical import canonical
from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.declarations import CATEGORIES, Input
from data_pipelines.fields.readings import PLAIN, read
from data_pipelines.fields.rules import TEXT_NEVER_A_LEVEL, split_values, to_levels

PARTITIONS = 32
"""Parts into which a field's levels are split on disk. Each is counted separately, in that fraction of the memory."""
_MERGE_LEVELS = 1 << 15


@dataclasses.dataclass
class _Counts:
    """Counts of one field: parts (level, count) in memory, the first one merged, and the number of spills to disk."""

    parts: list[pl.DataFrame] = dataclasses.field(default_factory=list)
    spills: int = 0
    longest: int = 1

    @property
    def bytes(self) -> int:
        """Memory of the parts."""
        # Polars' estimate covers the texts but not the 16 bytes that refer to each.
        return sum(int(part.estimated_size()) + 16 * part.height for part in self.parts)


class LevelCounts(Protocol):
    """What the vocabularies are made from."""

    def longest(self, name: str) -> int:
        """The largest number of values of a multi-valued field."""

    def frequent_levels(self, name: str, min_count: int, known: pl.Series | None = None) -> pl.DataFrame:
        """(level, count) of the levels with at least `min_count` rows, by descending count, then by text.

        Levels that are `known` need one row only.
        """


class LevelCounter:
    """Counts the levels of every field, chunk by chunk.

    Memory grows with the number of distinct levels up to a bound; then the counts of the largest field go to disk,
    partitioned by the levels' hash, and are added up partition by partition at the end.

    Levels of a field that shares another one's rows count as that one's. Of hashed fields, only the largest number of
    values is found.

    Args:
        inputs: the fields.
        directory: where counts are spilled.
        max_bytes: bound on the counts in memory.
    """

    def __init__(self, inputs: Sequence[Input], directory: Path, max_bytes: int):
        self._inputs = {field.name: field for field in inputs}
        self._counts = {field.name: _Counts() for field in inputs}
        self._directory, self._max_bytes = directory, max_bytes

    def add(self, columns: pa.RecordBatch, chosen: np.ndarray) -> None:
        """Counts the rows of raw columns that are `chosen` (bool [n])."""
        for name, field in self._inputs.items():
            if field.buckets:
                self._add_hashed(field, columns, chosen)
                continue
            known = read(distinct(columns, field.column), field.reading)
            count = np.bincount(codes(columns, field.column)[chosen], minlength=len(known))
            part = pl.DataFrame({"level": known, "count": pl.Series(count, dtype=pl.Int64)}).filter(pl.col("count") > 0)
            if field.reading != PLAIN:
                part = part.group_by("level").agg(pl.col("count").sum())
            self.add_counts(name, part)
        self._spill_to_bound()

    def add_counts(self, name: str, texts: pl.DataFrame) -> None:
        """Adds counts (level, count) of texts as the field reads them; each text occurs once."""
        field, counts = self._inputs[name], self._counts[name]
        shared = self._counts[field.shared_with or name]
        if field.separator:
            texts = texts.with_columns(split_values(texts["level"], field.separator, field.reading).alias("level"))
            counts.longest = max(counts.longest, cast(int | None, texts["level"].list.len().max()) or 1)
            texts = texts.explode("level").group_by("level").agg(pl.col("count").sum())
        elif field.transform not in CATEGORIES:
            # The bins' boundaries are not known yet, so all numbers count as one level beside the missing one.
            transform = "value" if field.transform == "equal_frequency" else field.transform
            texts = texts.with_columns(to_levels(texts["level"], transform).alias("level"))
            texts = texts.group_by("level").agg(pl.col("count").sum())
        elif (known := texts["level"]) is not (one_text := canonical(known)):
            texts = texts.with_columns(one_text.alias("level")).group_by("level").agg(pl.col("count").sum())
        shared.parts.append(texts)
        # Merging only when as much is pending as is merged keeps the total work proportional to the levels seen.
        heights = [part.height for part in shared.parts]
        if sum(heights[1:]) > max(heights[0], _MERGE_LEVELS):
            shared.parts = [_merged(shared.parts)]

    def _add_hashed(self, field: Input, columns: pa.RecordBatch, chosen: np.ndarray) -> None:
        if not field.separator:
            return
        seen = np.zeros(len(known := distinct(columns, field.column)), bool)
        seen[codes(columns, field.column)[chosen]] = True
        lists = split_values(read(known.filter(seen), field.reading), field.separator, field.reading)
        counts = self._counts[field.name]
        counts.longest = max(counts.longest, cast(int | None, lists.list.len().max()) or 1)

    def longest(self, name: str) -> int:
        """The largest number of values of a multi-valued field."""
        return self._counts[name].longest

    def frequent_levels(self, name: str, min_count: int, known: pl.Series | None = None) -> pl.DataFrame:
        """(level, count) of the levels with at least `min_count` rows, by descending count, then by text.

        Levels that are `known` need one row only. Text that may not be a level (`TEXT_NEVER_A_LEVEL`) is left out.
        """
        counts = self._counts[name]
        if counts.spills:
            self._spill(name)
            groups = []
            for p in range(PARTITIONS):
                paths = [self._path(name, spill, p) for spill in range(counts.spills)]
                merged = _merged([pl.read_ipc(path) for path in paths])
                groups.append(_frequent(merged, min_count, known))
                for path in paths:
                    path.unlink()
            found = pl.concat(groups)
        else:
            found = _frequent(_merged(counts.parts), min_count, known)
        counts.parts = []
        return found.sort(["count", "level"], descending=[True, False])

    def _spill_to_bound(self) -> None:
        sizes = {name: counts.bytes for name, counts in self._counts.items()}
        while sum(sizes.values()) > self._max_bytes:
            largest = max(sizes, key=sizes.__getitem__)
            counts = self._counts[largest]
            counts.parts = [_merged(counts.parts)]
            merged = counts.bytes
            # Merging alone may free enough. A field that stays large must spill, or it would be merged again and again.
            if merged > sizes[largest] // 2:
                self._spill(largest)
                merged = 0
            sizes[largest] = merged

    def _spill(self, name: str) -> None:
        counts = self._counts[name]
        merged = _merged(counts.parts)
        part = pl.col("level").hash(seed=0) % PARTITIONS
        for p, group in enumerate(_partitioned(merged, part)):
            group.write_ipc(self._path(name, counts.spills, p))
        counts.parts, counts.spills = [], counts.spills + 1

    def _path(self, name: str, spill: int, partition: int) -> Path:
        return self._directory / f"{list(self._inputs).index(name)}-{spill}-{partition}.arrow"


def _merged(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    if not parts:
        return pl.DataFrame(schema={"level": pl.String, "count": pl.Int64})
    return parts[0] if len(parts) == 1 else pl.concat(parts).group_by("level").agg(pl.col("count").sum())


def _partitioned(frame: pl.DataFrame, part: pl.Expr) -> list[pl.DataFrame]:
    frame = frame.with_columns(part.alias("part")).sort("part")
    ends = frame["part"].search_sorted(np.arange(PARTITIONS), side="right").to_list()
    return [frame[start:end].drop("part") for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _frequent(counts: pl.DataFrame, min_count: int, known: pl.Series | None) -> pl.DataFrame:
    wanted = pl.col("count") >= min_count
    if known is not None:
        wanted |= pl.col("level").is_in(known.implode())
    return counts.filter(wanted & ~pl.col("level").str.contains(TEXT_NEVER_A_LEVEL))
