"""Names in messages."""

import re


def shown(name: str) -> str:
    """A name as it is, or in quotes where its ends would not be seen: it is empty, odd, or has blanks or commas."""
    return name if re.fullmatch(r"[^\s,;:'\"]+", name) and name.isprintable() else repr(name)
