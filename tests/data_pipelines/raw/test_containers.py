"""Compressed files are read; archives and other encodings are refused by their true name."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pyarrow as pa
import pytest
from raw_rows import rows_of, write

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.prepare.engines.parts import count_rows, cut
from data_pipelines.raw import RawReader

CSV = RawFormat("tabular", "y", delimiter=",", has_header=True, quoted=True)
LINES = ["y,a", *(f"{i % 2},level {i}" for i in range(3000))]
TEXT = "\n".join(LINES).encode() + b"\n"


def _zstd(data):
    return pa.compress(data, "zstd", asbytes=True)


def _lz4(data):
    # The frame format, as files have it; Arrow's "lz4_raw" has no magic number.
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def _read(path, **arguments):
    return RawReader(CSV, (Input("a", "a"),), [path], **arguments)


COMPRESSORS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": _zstd, "lz4": _lz4}


@pytest.mark.parametrize("name", COMPRESSORS)
def test_compressed_text_is_read_whatever_its_name(tmp_path, name):
    compress, path = COMPRESSORS[name], tmp_path / "log"
    half = TEXT.index(b"level 1500")
    # Two members, as `cat a.gz b.gz` leaves them.
    path.write_bytes(compress(TEXT[:half]) + compress(TEXT[half:]))
    rows, _ = rows_of(_read(path, chunk_bytes=1000))
    assert rows == [tuple(line.split(",")) for line in LINES[1:]]
    (part,) = cut([path], CSV)
    assert count_rows(part, CSV) == (0, 3000)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_what_is_cut_off_is_no_shorter_log(tmp_path, name):
    data, path = COMPRESSORS[name](TEXT), tmp_path / "log"
    for kept in (len(data) - 1, len(data) // 2, 12):
        path.write_bytes(data[:kept])
        with pytest.raises(UserError, match="log: truncated or damaged compressed file"):
            rows_of(_read(path))


def _tar(data):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("base.csv")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def _zip(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("base.csv", data)
    return file.getvalue()


@pytest.mark.parametrize(
    "data, message",
    [
        (_zip(TEXT), "log: a zip archive or an Excel file; unpack it"),
        (_tar(TEXT), "log: a tar archive; unpack it"),
        (gzip.compress(_tar(TEXT)), "log: a tar archive inside of gzip; unpack it"),
        (_zstd(_zip(TEXT)), "log: a zip archive or an Excel file inside of zstd"),
        (gzip.compress(b"PAR1" + b"x" * 50), "log: a Parquet file inside of gzip; decompress it first"),
        (TEXT.decode().encode("utf-16"), "log: UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8 log > NEW_FILE"),
        (TEXT.decode().encode("utf-16-le"), "log: UTF-16 text; convert it: iconv -f UTF-16LE"),
        (TEXT.decode().encode("utf-16-be"), "log: UTF-16 text; convert it: iconv -f UTF-16BE"),
        (TEXT.decode().encode("utf-32"), "log: UTF-32 text"),
        (b"7z\xbc\xaf\x27\x1c" + b"\0" * 9, "log: a 7z archive"),
        (b"Obj\x01" + b"\0" * 9, "log: an Avro file; write its rows as CSV or Parquet"),
        (b"ARROW1\0\0" + b"\0" * 9, "log: an Arrow file"),
        (b"PAR1" + b"\0" * 20, "log: not a readable Parquet file"),
        ("y,größe\n1,x\n".encode("latin-1"), "log:1: the header is not valid UTF-8; convert the file: iconv"),
        (b"y,a\r1,x\r0,y\r", "log:1: the header holds NULs or carriage returns; where lines end in"),
        (b"PK\x05\x06" + b"\0" * 18, "log: an empty zip archive; remove it"),
        (b"Rar!\x1a\x07\x01" + b"\0" * 9, "log: a rar archive"),
        (b"\x1f\x9d\x90" + b"\0" * 9, "log: a file of compress"),
        (b"ORC\n" + b"\0" * 9, "log: an ORC file"),
        (b"SQLite format 3\0" + b"\0" * 9, "log: an SQLite database"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 9, "log: an HDF5 file"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 9, "log: an old Excel file; save the sheet as CSV"),
        (b"%PDF-1.7\n", "log: a PDF file"),
        (b"\x80\x04\x95" + b"\0" * 9, "log: a Python pickle"),
        (b'{"y": 1, "a": "x"}\n', "log: JSON; write its rows as CSV or Parquet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # compressed bytes hold the time
)
def test_what_is_neither_is_named(tmp_path, data, message):
    path = tmp_path / "log"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        _read(path)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    path = write(tmp_path / "a.csv", ["\ufeffy,a", "1,x"])
    assert rows_of(_read(path))[0] == [("1", "x")]
