"""How the rows of a log are divided into training, validation and test."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from data_pipelines.errors import UserError

SPLIT_NAMES = {"train": 0, "validation": 1, "valid": 1, "val": 1, "test": 2}
"""What a column that names the split may hold, in small letters or capitals, each with the split's position."""


@dataclasses.dataclass(frozen=True)
class SplitRule:
    """What decides a row's split.

    Attributes:
        by: "rows" is a seeded hash of the row's number; "group" a seeded hash of the text in `column`, so that all rows
            of one user, say, fall into one split (rows without text are hashed by their number); "time" sorts rows by
            the time in `column`; "name" reads the split's name there; "files" goes by the raw file; "column" stands
            for "time" or "name" until the column has been looked at.
        column: the raw column that is read; "" for "rows" and "files".
        time: the form of its times (`times.time_form`); "" where it is not declared, and for other rules.
        files: how many raw files are training, validation and test, in this order; of "files" only.
        validation_share: share of the rows of the training files that are validation, drawn as for "rows"; of "files"
            without validation files only.
    """

    by: Literal["rows", "group", "time", "name", "files", "column"] = "rows"
    column: str = ""
    time: str = ""
    files: tuple[int, int, int] | None = None
    validation_share: float = 0.0

    @property
    def uses_shares(self) -> bool:
        """Whether the shares of `--split` say how many rows each split gets."""
        return self.by in ("rows", "group", "time", "column")

    @property
    def is_random(self) -> bool:
        """Whether chance alone decides, so that splits are distributed alike."""
        return self.by == "rows"

    def __str__(self) -> str:
        """The rule as its options are written."""
        if self.by == "rows":
            return "a split at random by row"
        if self.by == "group":
            return f"--split_group={self.column}"
        if self.files is not None:
            validation = f"--validation={self.validation_share:g}" if self.validation_share else "--validation"
            return f"--train, {validation} and --test ({', '.join(map(str, self.files))} files)"
        return f"--split_by={self.column}" + (f" (times of the form {self.time})" if self.time else "")


def shares(texts: Sequence[str]) -> tuple[float, float, float]:
    """The shares of train, validation and test that --split gives. Raises UserError if they are not three numbers."""
    try:
        first, second, third = (float(text) for text in texts)
    except ValueError:
        raise UserError(f"--split should be three numbers like 0.7,0.1,0.2, got {','.join(texts)!r}") from None
    return first, second, third
