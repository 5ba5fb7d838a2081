"""The names that a signature's inputs have for the raw log's columns."""

import hashlib
import keyword
import re
from collections.abc import Sequence

from anyascii import anyascii

from data_pipelines.errors import UserError

_LONGEST = 40
_HASH_DIGITS = 6


def argument_name(column: str) -> str:
    """The signature's name for a raw column; it depends only on the column's own name.

    A name of ASCII letters, digits and underscores that begins with a letter is kept, unless it is a Python keyword
    ("class") or "self". Any other name is transliterated, other characters become underscores, and the first digits of
    its SHA-256 are appended: "site id" becomes site_id_ecd366, "城市" becomes ChengShi_ed84a1.
    """
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", column) and not keyword.iskeyword(column) and column != "self":
        return column
    text = re.sub(r"[^A-Za-z0-9]+", "_", anyascii(column)).strip("_")[:_LONGEST]
    if not text[:1].isalpha():
        text = f"column_{text}".rstrip("_")
    return f"{text}_{hashlib.sha256(column.encode()).hexdigest()[:_HASH_DIGITS]}"


def argument_names(columns: Sequence[str]) -> dict[str, str]:
    """The signature's name for each raw column.

    Raises:
        UserError: if two columns would have the same name, or names that differ only in case, which TensorFlow's graphs
            do not tell apart.
    """
    if (reason := collision(columns)) is not None:
        raise UserError(f"{reason}; rename one of them in the log and prepare and train again")
    return {column: argument_name(column) for column in columns}


def collision(columns: Sequence[str]) -> str | None:
    """The first two columns that cannot both be inputs of a signature, as text; None if all can."""
    owners: dict[str, str] = {}
    for column in columns:
        name = argument_name(column)
        other = owners.setdefault(name.lower(), column)
        if other != column:
            return (
                f"columns {other!r} and {column!r} would be the signature's inputs {argument_name(other)} and {name}, "
                "which TensorFlow does not tell apart"
            )
    return None
