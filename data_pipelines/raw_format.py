"""What a raw format is."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Column:
    """A raw column that models read. `kind`: "text" (any text is a level) or "numeric" (integers, binned)."""

    name: str
    kind: str


@dataclasses.dataclass(frozen=True)
class RawFormat:
    """One raw format: a delimited text file without quoting.

    Attributes:
        name: what `--dataset` takes.
        delimiter: one ASCII character.
        has_header: whether the first line of each file names its columns; if so, they may stand in any order
            and further ones are ignored. Without a header a line is the label, then `columns`.
        label: name of the label column, 0 or 1.
        columns: the fields.
    """

    name: str
    delimiter: str
    has_header: bool
    label: str
    columns: tuple[Column, ...]
