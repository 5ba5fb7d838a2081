"""Raw formats and the fields that they declare."""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from data_pipelines.errors import UserError
from data_pipelines.fields.kinds import Kind
from data_pipelines.fields.readings import PLAIN, Reading

if TYPE_CHECKING:
    from data_pipelines.fields.schema import Field

TRANSFORMS = {
    "text": "text",
    "hashed": "text",
    "log_square": "integer",
    "log_of_square": "integer",
    "log1p_of_square": "integer",
    "equal_frequency": "number",
    "value": "number",
    "log_value": "number",
    "hour_of_day": "time",
    "weekday": "time",
    "os_browser": "text",
    "price_bucket": "price",
}
"""The rules from raw text to a level (`rules.py`), each with the kind of text that it reads (`kinds.py`)."""
TIME_TRANSFORMS = tuple(transform for transform, kind in TRANSFORMS.items() if kind == "time")
BINNINGS = ("log_square", "log_of_square", "log1p_of_square", "equal_frequency")
"""Transforms that put numbers into bins."""
CATEGORIES = ("text", "hashed")
"""Transforms whose levels are the texts themselves; only they may have several values."""
VALUE_TRANSFORMS = ("value", "log_value")
"""Transforms that give a float beside the id."""
MAX_VALUES = 16
"""Values kept of a multi-valued field whose schema does not say."""
MAX_BINS = 4096
MAX_BUCKETS = 1 << 30
DEFAULT_BINS = 10
"""Bins of "equal_frequency" where no number is given."""


_BUCKETS = range(2, MAX_BUCKETS + 1)


@dataclasses.dataclass(frozen=True)
class RawFormat:
    """How the files of a raw log look.

    Attributes:
        name: of the data set, e.g. "criteo"; begins the names of record files.
        label: name of the label column.
        positive: texts of the label column that are positive; all others are negative. If empty, labels are 0 and 1.
        at_least: the smallest positive number of the label column.
        columns: a line's columns in order, if files have no header. Empty otherwise: the columns of files with a
            header may stand in any order.
        delimiter: one ASCII character; "" for Parquet files.
        has_header: whether the first line of each file names its columns.
        quoted: whether values may be in double quotes and then contain delimiters, line ends and doubled quotes.
        click_key: columns that identify an impression. A log that has them has no label column: its positives are the
            rows whose key is in the click logs.
        weight: name of the column of row weights; "" where every row counts once.
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
    weight: str = ""

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
        min_count: levels seen less often in the training split share the out-of-vocabulary row; None stands for the
            preparation's threshold.
        bins: number of bins, of "equal_frequency" only.
        separator: between the values of a multi-valued field; "" for a field of one value.
        max_values: how many values of a multi-valued field are kept; the first are.
        reading: how its text is read.
        buckets: number of buckets, of "hashed" only.
        shared_with: name of the field whose vocabulary and rows it uses; "" for rows of its own.
        crossed: names of the fields whose levels a cross hashes; it reads no column of its own.
        vectors: a file of pre-trained vectors for its levels, see `vectors.py`; "" if there is none.
        frozen: whether training leaves the rows that have a vector as they are.
        vectors_hash: of the file; preparation fills it in.
    """

    name: str
    column: str
    transform: str = "text"
    min_count: int | None = None
    bins: int = 0
    separator: str = ""
    max_values: int = 1
    reading: Reading = PLAIN
    buckets: int = 0
    shared_with: str = ""
    crossed: tuple[str, ...] = ()
    vectors: str = ""
    frozen: bool = False
    vectors_hash: str = ""

    def __post_init__(self) -> None:
        """Raises UserError for values that are invalid together."""
        if self.transform not in TRANSFORMS:
            raise UserError(f"field {self.name}: unknown transform {self.transform!r}; known: {', '.join(TRANSFORMS)}")
        if not self.name:
            raise UserError(f"a field of column {self.column!r} has an empty name; give it one")
        if not self.column and not self.crossed:
            raise UserError(f"field {self.name}: a column without a name cannot be read; give it one in the header")
        if self.min_count is not None and self.min_count < 1:
            raise UserError(f"field {self.name}: min_count should be at least 1, got {self.min_count}")
        if (self.transform == "equal_frequency") != (self.bins > 0) or not 0 <= self.bins <= MAX_BINS or self.bins == 1:
            raise UserError(
                f"field {self.name}: bins should be 2 to {MAX_BINS} for equal_frequency and not be given otherwise, "
                f"got {self.bins}"
            )
        if (self.transform == "hashed") != (self.buckets != 0) or (self.buckets and self.buckets not in _BUCKETS):
            raise UserError(
                f"field {self.name}: buckets should be {_BUCKETS[0]} to {_BUCKETS[-1]:,} for a hashed field and not be "
                f"given otherwise, got {self.buckets}"
            )
        if self.crossed and (self.transform != "hashed" or self.separator or self.shared_with or self.column):
            raise UserError(f"field {self.name}: a cross is hashed and has no column, separator or shared rows")
        if (self.vectors and (self.transform != "text" or self.shared_with)) or (self.frozen and not self.vectors):
            raise UserError(f"field {self.name}: vectors are for categorical and multi_valued fields with own rows")
        if self.separator and self.transform not in CATEGORIES:
            raise UserError(
                f"field {self.name}: a multi-valued field should be categorical or hashed, got {self.transform}"
            )
        if self.max_values < 1 or (self.max_values > 1 and not self.separator):
            raise UserError(f"field {self.name}: max_values={self.max_values} needs a separator and should be above 0")


def column_kinds(fields: "Iterable[Input | Field]") -> dict[str, tuple[str | Kind, ...]]:
    """The raw columns that fields (`Input` or `schema.Field`) read, each with the kinds of text that it must hold."""
    kinds: dict[str, tuple[str | Kind, ...]] = {}
    for field in fields:
        if field.crossed:
            continue
        name = TRANSFORMS[field.transform]
        kind = name if name == "text" or field.reading == PLAIN else Kind(name, field.reading)
        kinds[field.column] = tuple(dict.fromkeys((*kinds.get(field.column, ()), kind)))
    return kinds
