"""Names of fields as names of files, and paths that stay inside their directory."""

import hashlib
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from data_pipelines.errors import UserError

LONGEST = 120
"""Characters of a file name that a field's name may take; file systems end at 255 bytes."""
_SAFE = frozenset((string.ascii_letters + string.digits + "_-.").encode())
_CAPITALS = frozenset(string.ascii_uppercase.encode())


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A safe file name for each of several names; different names get different ones on every file system.

    ASCII letters, digits, `_`, `-` and `.` stay as they are, so most names are their own file names. All else, and a
    leading dot, is percent-encoded as in a URL: `urllib.parse.unquote` gives it back. Where names differ in upper and
    lower case alone, their capitals are encoded too. A name that gets longer than `LONGEST` is cut, and ends in `%-`,
    which no encoded name holds, and a hash of the name.

    Raises:
        UserError: a name is no valid Unicode text.
    """
    names = list(names)
    count = Counter(name.lower() for name in names)
    return {name: _file_name(name, _SAFE - _CAPITALS if count[name.lower()] > 1 else _SAFE) for name in names}


def _file_name(name: str, safe: frozenset[int]) -> str:
    try:
        data = name.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"field {name!r}: the name is no valid Unicode text; give it another one") from None
    encoded = "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in data)
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    if len(encoded) > LONGEST:
        return encoded[: LONGEST - 34] + "%-" + hashlib.sha256(data).hexdigest()[:32]
    return encoded


def path_inside(directory: str | Path, name: str) -> Path:
    """The path of a file of a directory by its relative name, such as `vocabulary/shop.txt`.

    The directory itself may be a symbolic link. Nothing below it may be one: a directory that came from elsewhere must
    not lead to files that are not its own.

    Raises:
        UserError: the name leads out of the directory, or a part of it is a symbolic link.
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
