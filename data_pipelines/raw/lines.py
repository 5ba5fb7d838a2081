"""Reads a plain or compressed text file in byte chunks that end at record ends."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.raw.containers import DAMAGE, damaged, decompressed
from data_pipelines.raw.quoting import record_ends, stray_quote

CHUNK_BYTES = 32 << 20
MAX_LINE_BYTES = 64 << 20
"""A longer line is an error. Without a bound, a file without line ends would be read into memory as a whole."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True)
class FilePart:
    """A raw file, or a range of a plain one that begins and ends with whole lines.

    Attributes:
        path: the file.
        start: first byte.
        end: the byte after the last one; None is the file's end.
        first_line: 1-based number of the line at `start`.
    """

    path: Path
    start: int = 0
    end: int | None = None
    first_line: int = 1


@dataclasses.dataclass(frozen=True)
class LineChunk:
    r"""Whole records of a file.

    Attributes:
        data: the records, each ended by "\n". "\r\n" is replaced by "\n", and any other "\r" by NUL. Neither is ever
            part of a level, and CSV parsers disagree about a lone "\r".
        first_line: 1-based number of the first line in the file.
        bytes_read: stored bytes of the file part that have been read so far.
    """

    data: bytes
    first_line: int
    bytes_read: int


def read_lines(
    part: FilePart, raw_format: RawFormat, skip_header: bool, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[LineChunk]:
    """Reads whole records in chunks of about `chunk_bytes`. The last line need not have a line end.

    Args:
        part: what to read.
        raw_format: determines whether values may be quoted.
        skip_header: whether to skip the file's first record.
        chunk_bytes: bytes of text in memory at once.

    Raises:
        UserError: a compressed file is truncated or damaged, a line is longer than `MAX_LINE_BYTES`, or a quote
            is out of place.
    """
    with part.path.open("rb") as stored:
        text = decompressed(stored)
        left = None if part.end is None else part.end - part.start
        stored.seek(part.start)
        first_line, rest, header = part.first_line, b"", skip_header and part.start == 0
        while True:
            try:
                read = text.read(chunk_bytes if left is None else min(chunk_bytes, left))
            except DAMAGE as error:
                raise damaged(part.path, error) from None
            left = None if left is None else left - len(read)
            data = rest + read
            if first_line == 1 and data.startswith(BYTE_ORDER_MARK):
                data = data[len(BYTE_ORDER_MARK) :]
            if not read:
                if not data:
                    return
                data += b"\n"
            if b"\r" in data:
                # A final "\r" may belong to a "\r\n" that the next read completes.
                data = data.replace(b"\r\n", b"\n")
                data = data[:-1].replace(b"\r", b"\0") + data[-1:]
            end = _last_end(data, part.path, first_line, raw_format, last=not read)
            data, rest = data[:end], data[end:]
            if len(rest) > MAX_LINE_BYTES:
                line = first_line + data.count(b"\n")
                raise UserError(
                    f"{part.path}:{line}: a line is longer than {MAX_LINE_BYTES} bytes"
                    f"{' or a quote is never closed' if raw_format.quoted else ''}; is this a text file?"
                )
            if not data:
                continue
            if header:
                header, cut = False, int(record_ends(np.frombuffer(data, np.uint8), raw_format.quoted)[0])
                first_line += data.count(b"\n", 0, cut)
                data = data[cut:]
                if not data:
                    continue
            yield LineChunk(data, first_line, stored.tell() - part.start)
            first_line += data.count(b"\n")


def count_lines(part: FilePart) -> int:
    """The number of line feeds in a part of a plain file, plus one if its last line has none."""
    lines, last = 0, b"\n"
    with part.path.open("rb") as file:
        file.seek(part.start)
        left = (part.path.stat().st_size if part.end is None else part.end) - part.start
        while left and (read := file.read(min(CHUNK_BYTES, left))):
            lines, last, left = lines + read.count(b"\n"), read[-1:], left - len(read)
    return lines + (last != b"\n")


def _last_end(data: bytes, path: Path, first_line: int, raw_format: RawFormat, last: bool) -> int:
    if not raw_format.quoted or b'"' not in data:
        return data.rfind(b"\n") + 1
    bytes_ = np.frombuffer(data, np.uint8)
    stray = stray_quote(bytes_, raw_format.delimiter)
    # At the chunk's end it is not known yet what follows a quote or a "\r".
    if stray is not None and (last or stray < len(data) - 1 - data.endswith(b"\r")):
        line = first_line + data.count(b"\n", 0, stray)
        raise UserError(
            f"{path}:{line}: a quote inside a value that is not quoted; "
            'quote the value and double the quote, or set "quoted": false in the schema'
        )
    ends = record_ends(bytes_, True)
    end = int(ends[-1]) if len(ends) else 0
    if last and end < len(data):
        line = first_line + data.count(b"\n", 0, end)
        raise UserError(f"{path}:{line}: a quote is never closed")
    return end
