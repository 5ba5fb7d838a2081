"""Criteo Display Advertising (Kaggle 2014): train.txt and, without the label, test.txt.

Tab-separated, no header: label (1 clicked, 0 not), I1..I13 integers (counts, may be missing or negative),
C1..C26 categories (8 hexadecimal digits, may be missing). 45,840,617 rows in the full train.txt, 25.6 % of
them clicked.
"""

from data_pipelines.fields.declarations import Input, RawFormat

_NUMERIC = tuple(f"I{i}" for i in range(1, 14))
_CATEGORICAL = tuple(f"C{i}" for i in range(1, 27))
FORMAT = RawFormat(name="criteo", label="label", columns=("label", *_NUMERIC, *_CATEGORICAL))


def inputs(numeric: str = "log_square", bin_count: int = 0) -> tuple[Input, ...]:
    """All 39 columns, the integers by a rule of `declarations.BINNINGS`, with its number of bins, or as values."""
    integers = tuple(Input(name, name, numeric, bins=bin_count) for name in _NUMERIC)
    return integers + tuple(Input(name, name) for name in _CATEGORICAL)
