"""What a signature calls the raw log's columns."""

import keyword
import re
from collections.abc import Sequence


def argument_names(columns: Sequence[str]) -> dict[str, str]:
    """The signature's name of each raw column.

    A column keeps its name if that has ASCII letters, digits and underscores alone, begins with a letter, and is no
    Python keyword ("class"), not "self", and not another one's but for upper and lower case. Else other characters
    become underscores ("site id" is site_id), and where that is still no such name, the column is called by its
    position, from 1, among the columns that are read ("1st", as the third of them, is column_3).
    """
    names: dict[str, str] = {}
    taken: set[str] = set()

    def claim(column: str, name: str) -> None:
        usable = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and not keyword.iskeyword(name) and name != "self"
        # TensorFlow's graphs do not tell upper from lower case.
        if column not in names and usable and name.lower() not in taken:
            names[column] = name
            taken.add(name.lower())

    for column in columns:
        claim(column, column)
    for column in columns:
        claim(column, re.sub(r"[^A-Za-z0-9_]", "_", column))
    for position, column in enumerate(columns, start=1):
        # Underscores only where another column is called column_3.
        for underscores in range(len(columns) + 1):
            claim(column, f"column_{position}" + "_" * underscores)
    return {column: names[column] for column in columns}
