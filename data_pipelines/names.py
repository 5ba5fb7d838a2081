"""Names in messages."""

import re


def shown(name: str) -> str:
    """A name, quoted if it is empty or has blanks, separators, quotes or unprintable characters."""
    return name if re.fullmatch(r"[^\s,;:'\"]+", name) and name.isprintable() else repr(name)
