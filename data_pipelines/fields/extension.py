"""Vocabularies that extend those of an earlier preparation.

Every level keeps its id within its field, that is its line of the vocabulary file. New levels stand on the lines of
retired ones, if there are any; the others follow. Rows of the fused table move, because fields before them grow; the
lines alone say where to (`rows_before`).
"""

import dataclasses
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from data_pipelines.errors import UserError
from data_pipelines.fields.counting import LevelCounts
from data_pipelines.fields.declarations import Input
from data_pipelines.fields.level_index import LevelIndex
from data_pipelines.fields.schema import Field, Schema

if TYPE_CHECKING:
    from data_pipelines.fields.vocabulary import Vocabularies

UNSEEN_FILE = "unseen.npy"
"""For how many preparations each level has been unseen: uint16, all vocabularies' lines in the order of the fields."""
_MOST = np.iinfo(np.uint16).max


@dataclasses.dataclass(frozen=True)
class Base:
    """The vocabularies that a preparation extends.

    Attributes:
        schema: their fields.
        levels: by field.
        unseen: for how many preparations each level has been unseen, by field: uint16.
        retire_after: a level that has been unseen for so many preparations may give its row to a new one; 0 for never.
    """

    schema: Schema
    levels: Mapping[str, pl.Series]
    unseen: Mapping[str, np.ndarray]
    retire_after: int = 0

    def field(self, name: str) -> Field:
        """The field of a name."""
        return next(field for field in self.schema.fields if field.name == name)

    @property
    def parameters(self) -> dict[str, tuple[float, ...]]:
        """What transforms learned, by field. Models have learned from it, so it stays."""
        return {field.name: field.parameters for field in self.schema.fields}

    def extended(
        self, one: Input, counter: LevelCounts, min_count: int, fixed: pl.Series
    ) -> tuple[pl.Series, np.ndarray]:
        """(levels, for how many preparations each has been unseen) of a field with the rows that `counter` counted.

        New are the levels with at least `min_count` rows, the most frequent first. Levels that have been unseen for
        `retire_after` preparations, this one included, give their lines to new ones, those unseen for longest first; as
        long as no new level needs the line, they keep it. Missing values and the levels in `fixed` stay.
        """
        old, before = self.levels[one.name], self.unseen[one.name].astype(np.int64)
        found = counter.frequent_levels(one.name, min_count, old)
        stays = (old.is_in(fixed.implode()) | (old == "")).to_numpy()
        seen = old.is_in(found["level"].implode()).to_numpy() | (stays & bool(len(fixed)))
        unseen = np.where(seen, 0, np.minimum(before + 1, _MOST))
        new = found.filter((pl.col("count") >= min_count) & ~pl.col("level").is_in(old.implode()))["level"]
        if len(fixed):
            # Of numbers, only the missing one can be a new level.
            new = new.filter(new == "")
        lines = np.empty(0, np.int64)
        if self.retire_after:
            lines = np.flatnonzero((unseen >= self.retire_after) & ~stays)
            lines = lines[np.argsort(-unseen[lines], kind="stable")][: len(new)]
        levels = old.clone()
        if len(lines):
            levels = levels.scatter(lines, new[: len(lines)])
            unseen[lines] = 0
        rest = new[len(lines) :]
        return pl.concat([levels, rest]), np.concatenate([unseen, np.zeros(len(rest), np.int64)]).astype(np.uint16)


def unseen_bytes(unseen: Mapping[str, np.ndarray], schema: Schema) -> bytes:
    """The content of `UNSEEN_FILE`."""
    file = io.BytesIO()
    np.save(file, np.concatenate([unseen[name] for name in _owners(schema)]))
    return file.getvalue()


def unseen_of(
    content: bytes | None, levels: Mapping[str, pl.Series], schema: Schema, source: str
) -> dict[str, np.ndarray]:
    """The inverse of `unseen_bytes`; without content, all zeros. UserError, naming `source`: it is malformed."""
    owners = _owners(schema)
    sizes = [len(levels[name]) for name in owners]
    every = np.zeros(sum(sizes), np.uint16)
    if content is not None:
        try:
            every = np.load(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise UserError(f"{source}: {error}; prepare the data again") from error
        if every.dtype != np.uint16 or every.shape != (sum(sizes),):
            raise UserError(f"{source}: should hold {sum(sizes)} numbers, one a level; prepare the data again")
    parts = np.split(every, np.cumsum(sizes)[:-1])
    return dict(zip(owners, parts, strict=True))


def _owners(schema: Schema) -> list[str]:
    """The fields with a vocabulary of their own."""
    return [field.name for field in schema.fields if not field.shared_with]


def changes(old: Mapping[str, pl.Series], new: "Vocabularies") -> dict[str, tuple[int, int]]:
    """By field with a vocabulary of its own: (levels that were appended, levels on lines of retired ones)."""
    return {
        name: (len(new.levels[name]) - (lines := len(old[name])), int((new.levels[name][:lines] != old[name]).sum()))
        for name in _owners(new.schema)
    }


def rows_before(old: "Vocabularies", new: "Vocabularies") -> np.ndarray:
    """The row that each row of the new fused table had in the old one; -1 for rows of new levels: int64 [V].

    Raises:
        UserError: the new vocabularies do not extend the old ones. It names the field.
    """
    if [field.name for field in old.schema.fields] != [field.name for field in new.schema.fields]:
        raise UserError("their fields differ")
    rows = np.full(new.schema.num_rows, -1, np.int64)
    for before, field in zip(old.schema.fields, new.schema.fields, strict=True):
        if _without_growth(before) != _without_growth(field) or field.size < before.size:
            raise UserError(f"field {field.name}: it is read otherwise, or has fewer rows")
        moved = np.arange(before.size, dtype=np.int64) + before.offset
        known = old.levels[field.name]
        if len(known):
            # A line whose level is another one was given away.
            moved[1:][(new.levels[field.name][: len(known)] != known).to_numpy()] = -1
        rows[field.offset : field.offset + before.size] = moved
    return rows


def rows_by_name(old: "Vocabularies", new: "Vocabularies") -> tuple[np.ndarray, list[str]]:
    """(the row of the same field and level in another fused table, -1 for none: int64 [V]; why fields have none).

    Rows of values that were read differ in scale as the fields' means and deviations do.
    """
    rows, reasons = np.full(new.schema.num_rows, -1, np.int64), []
    fields = {field.name: field for field in old.schema.fields}
    for field in new.schema.fields:
        before = fields.get(field.name)
        if field.shared_with:
            continue
        if before is None:
            reasons.append(f"rows of field {field.name}: absent there")
        elif _meaning(before) != _meaning(field):
            reasons.append(f"rows of field {field.name}: its levels have another meaning there")
        else:
            place = slice(field.offset, field.offset + field.size)
            rows[place] = _same_levels(old.levels[field.name], new.levels[field.name], field.size)
            rows[place][rows[place] >= 0] += before.offset
    return rows, reasons


def _same_levels(old: pl.Series, new: pl.Series, size: int) -> np.ndarray:
    """The earlier line of each row of a field, counted with the out-of-vocabulary row: int64 [size], -1 for none."""
    if not len(new):
        return np.arange(size)
    return np.concatenate([[0], np.where((lines := LevelIndex(old).positions(new)) >= 0, lines + 1, -1)])


def _meaning(field: Field) -> Field:
    alike = _without_growth(dataclasses.replace(field, column=field.name))
    return dataclasses.replace(alike, parameters=()) if field.has_value else alike


def _without_growth(field: Field) -> Field:
    # Which levels have a pre-trained vector changes with the vocabulary, and the vectors' file may be another one.
    return dataclasses.replace(field, size=1, offset=0, width=1, vector_width=0, vector_rows=0, frozen=False)
