"""Detects how a raw file is stored: plain text, compressed text or Parquet. Other formats are errors that name them."""

import bz2
import gzip
import lzma
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from data_pipelines.errors import UserError

DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""Errors of readers of compressed files that are truncated or damaged."""
_PARQUET = b"PAR1"
_COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_HEAD_BYTES = 4096
_CONVERT = "convert it: iconv -f {} -t UTF-8 FILE > NEW_FILE"
_EXPORT = "write its rows as CSV or Parquet"
_REFUSED = (
    (0, b"PK\x03\x04", "a zip archive or an Excel file", "unpack it (unzip), or save the sheet as CSV"),
    (0, b"PK\x05\x06", "an empty zip archive", "remove it from --raw"),
    (257, b"ustar", "a tar archive", "unpack it (tar -xf)"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it (7z x)"),
    (0, b"Rar!\x1a", "a rar archive", "unpack it (unrar x)"),
    (0, b"\x1f\x9d", "a file of compress (.Z)", "unpack it (gunzip)"),
    (0, b"\xff\xfe\0\0", "UTF-32 text", _CONVERT.format("UTF-32")),
    (0, b"\0\0\xfe\xff", "UTF-32 text", _CONVERT.format("UTF-32")),
    (0, b"\xff\xfe", "UTF-16 text", _CONVERT.format("UTF-16")),
    (0, b"\xfe\xff", "UTF-16 text", _CONVERT.format("UTF-16")),
    (0, b'{"', "JSON", _EXPORT),
    (0, b"Obj\x01", "an Avro file", _EXPORT),
    (0, b"ARROW1\0\0", "an Arrow file", _EXPORT),
    (0, b"ORC\n", "an ORC file", _EXPORT),
    (0, b"SQLite format 3\0", "an SQLite database", _EXPORT),
    (0, b"\x89HDF\r\n", "an HDF5 file", _EXPORT),
    (0, b"\xd0\xcf\x11\xe0", "an old Excel file", "save the sheet as CSV"),
    (0, b"%PDF-", "a PDF file", _EXPORT),
    (0, b"\x80\x04\x95", "a Python pickle", _EXPORT),
    (0, b"\x80\x05\x95", "a Python pickle", _EXPORT),
)


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet; otherwise it is plain or compressed text.

    Raises:
        UserError: the file is neither, or is compressed and its first bytes are damaged.
    """
    with path.open("rb") as stored:
        head = stored.read(_HEAD_BYTES)
        _refuse(head, path, "")
        if head.startswith(_PARQUET):
            return True
        if (name := _compression(head)) is None:
            return False
        stored.seek(0)
        try:
            inside = decompressed(stored).read(_HEAD_BYTES)
        except DAMAGE as error:
            raise damaged(path, error) from None
        if inside.startswith(_PARQUET):
            raise UserError(f"{path}: a Parquet file inside of {name}; decompress it first")
        _refuse(inside, path, f" inside of {name}")
        return False


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed, by its first bytes."""
    with path.open("rb") as stored:
        return _compression(stored.read(_HEAD_BYTES)) is not None


def decompressed(stored: BinaryIO) -> BinaryIO:
    """The decompressed text of a file opened at its start; the file itself if it is not compressed."""
    name = _compression(stored.read(_HEAD_BYTES))
    stored.seek(0)
    if name is None:
        return stored
    if name in ("zstd", "lz4"):
        return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(stored, "r"), name))
    openers = {"gzip": gzip.GzipFile, "bz2": bz2.BZ2File, "xz": lzma.LZMAFile}
    return cast(BinaryIO, openers[name](stored) if name != "gzip" else gzip.GzipFile(fileobj=stored))


def damaged(path: Path, error: BaseException) -> UserError:
    """The error for a compressed file that cannot be read to its end."""
    return UserError(f"{path}: truncated or damaged compressed file ({error}); fetch the file again")


def _compression(head: bytes) -> str | None:
    return next((name for magic, name in _COMPRESSIONS.items() if head.startswith(magic)), None)


def _refuse(head: bytes, path: Path, where: str) -> None:
    for offset, magic, name, way_out in _REFUSED:
        if head[offset:].startswith(magic):
            raise UserError(f"{path}: {name}{where}; {way_out.replace('FILE', path.name, 1)}")
    for name, zeros in (("UTF-16LE", head[1::2]), ("UTF-16BE", head[::2])):
        # Every second byte of ASCII text in UTF-16 is zero; a log in UTF-8 does not consist of half NULs.
        if len(zeros) > 1 and zeros.count(0) > 0.9 * len(zeros) and head.count(0) < 0.6 * len(head):
            raise UserError(f"{path}: UTF-16 text{where}; {_CONVERT.format(name).replace('FILE', path.name, 1)}")
