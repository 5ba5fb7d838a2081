"""File names made of field names, and paths that stay inside their directory."""

import hashlib
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from data_pipelines.errors import UserError

LONGEST = 120
"""The longest encoded field name, in characters. File systems allow 255 bytes."""
_SAFE = frozenset((string.ascii_letters + string.digits + "_-.").encode())
_CAPITALS = frozenset(string.ascii_uppercase.encode())


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A safe file name for each name. Different names get different file names on every file system.

    ASCII letters, digits, `_`, `-` and `.` are kept, so most names are their own file names. All other characters, and
    a leading dot, are percent-encoded as in URLs; `urllib.parse.unquote` decodes them. If names differ only in case,
    their capitals are encoded too. An encoded name longer than `LONGEST` is truncated; it ends in `%-`, which no
    encoded name contains, and a hash of the name.

    Raises:
        UserError: a name is not valid Unicode text.
    """
    names = list(names)
    count = Counter(name.lower() for name in names)
    return {name: _file_name(name, _SAFE - _CAPITALS if count[name.lower()] > 1 else _SAFE) for name in names}


def _file_name(name: str, safe: frozenset[int]) -> str:
    try:
        data = name.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"field {name!r}: the name is not valid Unicode text; choose another one") from None
    encoded = "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in data)
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    if len(encoded) > LONGEST:
        return encoded[: LONGEST - 34] + "%-" + hashlib.sha256(data).hexdigest()[:32]
    return encoded


def path_inside(directory: str | Path, name: str) -> Path:
    """The path of a file in a directory by its relative name, such as `vocabulary/shop.txt`.

    The directory itself may be a symbolic link, but nothing below it: a directory from elsewhere must not lead to files
    outside it.

    Raises:
        UserError: the name leads out of the directory, or a part of the path is a symbolic link.
    """
    path = Path(directory)
    parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise UserError(f"{path}: {name!r} is no file inside this directory; get the directory from its source again")
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise UserError(
                f"{path}: is a symbolic link, which is not followed; put what it should lead to in its place (cp -rL)"
            )
    return path
