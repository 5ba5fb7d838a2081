"""What a raw format is, and what its inputs are."""

import dataclasses
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.fields.kinds import Kind
from data_pipelines.fields.readings import PLAIN, Reading

TRANSFORMS = {
    "text": "text",
    "log_square": "integer",
    "log_of_square": "integer",
    "equal_frequency": "number",
    "value": "number",
    "log_value": "number",
    "hour_of_day": "time",
    "weekday": "time",
    "os_browser": "text",
    "price_bucket": "price",
}
"""The ways from raw text to a level (see `rules.py`), and the kind of text that each reads (`validation.py`)."""
TIME_TRANSFORMS = tuple(transform for transform, kind in TRANSFORMS.items() if kind == "time")
VALUE_TRANSFORMS = ("value", "log_value")
"""Transforms that give a float beside the id."""
MAX_VALUES = 16
"""Values kept of a multi-valued field, where its schema does not say."""
MAX_BINS = 4096


def later(default: Any) -> Any:
    """A dataclass's field that came after the others."""
    return dataclasses.field(default=default)


@dataclasses.dataclass(frozen=True)
class RawFormat:
    """How the files of a raw log look.

    Attributes:
        name: of the data set, e.g. "criteo"; begins the names of record files.
        label: name of the label column.
        positive: texts of the label column that are positive, all others being negative; without any, 0 and 1.
        at_least: the label column's smallest number that is positive.
        columns: without a header, the columns of a line in order; empty for files with a header, whose columns
            may stand in any order.
        delimiter: one ASCII character; "" is a Parquet file.
        has_header: whether the first line of each file names its columns.
        quoted: whether values may be in double quotes, then with delimiters, line ends and doubled quotes inside.
        click_key: columns that tell an impression from others. Where there are any, the log has no label column:
            rows whose key is in the click logs are the positives.
    """

    name: str
    label: str
    columns: tuple[str, ...] = ()
    delimiter: str = "\t"
    has_header: bool = False
    quoted: bool = False
    click_key: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    at_least: float | None = None

    @property
    def is_parquet(self) -> bool:
        """Whether the files are Parquet."""
        return not self.delimiter


@dataclasses.dataclass(frozen=True)
class Input:
    """A field as a raw format or a schema file declares it.

    Attributes:
        name: of the field.
        column: the raw column it reads; several fields may read one.
        transform: a key of `TRANSFORMS`.
        min_count: levels seen less often in the training split share the out-of-vocabulary row; None is the
            preparation's own threshold.
        bins: "equal_frequency" only: how many.
        separator: of a multi-valued field's values within the text; "" is a field of one value.
        max_values: values kept of a multi-valued field, the first ones.
        reading: how its text is read.
    """

    name: str
    column: str
    transform: str = "text"
    min_count: int | None = None
    bins: int = 0
    separator: str = ""
    max_values: int = 1
    reading: Reading = later(PLAIN)

    def __post_init__(self) -> None:
        """Raises UserError for values that do not go together."""
        if self.transform not in TRANSFORMS:
            raise UserError(f"field {self.name}: unknown transform {self.transform!r}; known: {', '.join(TRANSFORMS)}")
        if not self.name:
            raise UserError(f"a field of column {self.column!r} has an empty name; give it one")
        if not self.column:
            raise UserError(f"field {self.name}: a column without a name cannot be read; give it one in the header")
        if self.min_count is not None and self.min_count < 1:
            raise UserError(f"field {self.name}: min_count should be at least 1, got {self.min_count}")
        if (self.transform == "equal_frequency") != (self.bins > 0) or not 0 <= self.bins <= MAX_BINS or self.bins == 1:
            raise UserError(
                f"field {self.name}: bins should be 2 to {MAX_BINS} for equal_frequency and not be given otherwise, "
                f"got {self.bins}"
            )
        if self.separator and self.transform != "text":
            raise UserError(f"field {self.name}: a multi-valued field should be categorical, got {self.transform}")
        if self.max_values < 1 or (self.max_values > 1 and not self.separator):
            raise UserError(f"field {self.name}: max_values={self.max_values} needs a separator and should be above 0")


def column_kinds(fields) -> dict[str, tuple[str | Kind, ...]]:
    """The raw columns that fields (of `Input` or `schema.Field`) read, each with the kinds of text it must hold."""
    kinds: dict[str, tuple[str | Kind, ...]] = {}
    for field in fields:
        name = TRANSFORMS[field.transform]
        kind = name if name == "text" or field.reading == PLAIN else Kind(name, field.reading)
        kinds[field.column] = tuple(dict.fromkeys((*kinds.get(field.column, ()), kind)))
    return kinds
