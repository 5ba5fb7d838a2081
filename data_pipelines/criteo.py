"""Criteo Display Advertising (Kaggle 2014): train.txt and, without the label, test.txt.

Tab-separated, no header: label (1 clicked, 0 not), I1..I13 integers (counts, may be missing or negative),
C1..C26 categories (8 hexadecimal digits, may be missing). 45,840,617 rows in the full train.txt, 25.6 % of
them clicked.
"""

from data_pipelines.raw_format import Column, RawFormat

FORMAT = RawFormat(
    name="criteo",
    delimiter="\t",
    has_header=False,
    label="label",
    columns=tuple(Column(f"I{i}", "numeric") for i in range(1, 14))
    + tuple(Column(f"C{i}", "text") for i in range(1, 27)),
)
