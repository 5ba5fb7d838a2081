"""Byte chunks of a plain or gzip text file, cut at line ends."""

import dataclasses
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from data_pipelines.errors import DataError

CHUNK_BYTES = 32 << 20
MAX_LINE_BYTES = 64 << 20
"""A longer line is an error: without a bound, a file without line ends would be read whole."""


@dataclasses.dataclass(frozen=True)
class LineChunk:
    """Whole lines of a file.

    Attributes:
        data: the lines, each ended by "\\n"; "\\r\\n" is already "\\n", and any other "\\r" is a NUL (both
            are never part of a level, and CSV parsers disagree about a lone "\\r").
        first_line: 1-based number of the first line in the file.
        bytes_read: bytes of the file, as stored, consumed so far.
    """

    data: bytes
    first_line: int
    bytes_read: int


def read_lines(path: Path, skip_header: bool, chunk_bytes: int = CHUNK_BYTES) -> Iterator[LineChunk]:
    """Reads a file's lines in chunks of about `chunk_bytes`; the last line need not be ended.

    Raises:
        DataError: a gzip file is truncated or damaged, or a line is longer than `MAX_LINE_BYTES`.
    """
    with path.open("rb") as stored:
        is_gzip = stored.read(2) == b"\x1f\x8b"
        stored.seek(0)
        text: BinaryIO = gzip.GzipFile(fileobj=stored) if is_gzip else stored  # type: ignore[assignment]
        first_line, rest = 1, b""
        while True:
            try:
                read = text.read(chunk_bytes)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise DataError(f"{path}: truncated or damaged gzip file ({error}); fetch the file again") from None
            data = rest + read
            if not read:
                if not data:
                    return
                data += b"\n"
            end = data.rfind(b"\n") + 1
            data, rest = data[:end], data[end:]
            if len(rest) > MAX_LINE_BYTES:
                raise DataError(f"{path}: a line is longer than {MAX_LINE_BYTES} bytes; is this a text file?")
            if not data:
                continue
            if b"\r" in data:
                data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\0")
            lines = int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))
            if skip_header and first_line == 1:
                data, first_line, lines = data[data.index(b"\n") + 1 :], 2, lines - 1
                if not data:
                    continue
            yield LineChunk(data, first_line, stored.tell())
            first_line += lines
