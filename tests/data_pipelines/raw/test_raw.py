import bz2
import gzip

import numpy as np
import polars as pl
import pytest
from made_up_rows import criteo_lines

from data_pipelines.columns import texts
from data_pipelines.criteo import FORMAT, inputs
from data_pipelines.errors import DataError
from data_pipelines.raw import RawReader
from data_pipelines.raw.lines import FilePart, count_lines
from data_pipelines.raw_format import Input, RawFormat

NAMES = list(FORMAT.columns)


def read_raw(files, **arguments):
    return RawReader(FORMAT, inputs(), files, **arguments)


def _write(path, lines, end="\n"):
    path.write_bytes(end.join(lines).encode("utf-8", "surrogateescape") + end.encode())
    return path


def _changed(line, field, value):
    values = line.split("\t")
    values[NAMES.index(field)] = value
    return "\t".join(values)


def _rows(reader):
    chunks = list(reader)
    rows = []
    for chunk in chunks:
        found = texts(chunk.columns).rows()
        rows += found if chunk.label is None else [(str(y), *row) for y, row in zip(chunk.label, found, strict=True)]
    return rows, np.concatenate([chunk.row_numbers for chunk in chunks]).tolist()


@pytest.mark.parametrize("chunk_bytes", [100, 10_000, 1 << 20])
def test_rows_are_the_text_of_the_log(tmp_path, chunk_bytes):
    lines = criteo_lines(200, seed=3)
    rows, numbers = _rows(read_raw([_write(tmp_path / "a.txt", lines)], chunk_bytes=chunk_bytes))
    assert rows == [tuple(line.split("\t")) for line in lines]
    assert numbers == list(range(200))


def test_gzip_crlf_and_no_last_line_end_equal_plain(tmp_path):
    lines = criteo_lines(50, seed=3)
    expected = [tuple(line.split("\t")) for line in lines]
    (tmp_path / "a.gz").write_bytes(gzip.compress("\n".join(lines[:20]).encode()) + gzip.compress(b"\n"))
    _write(tmp_path / "b.txt", lines[20:40], end="\r\n")
    (tmp_path / "c.txt").write_text("\n".join(lines[40:]))
    files = [tmp_path / name for name in ("a.gz", "b.txt", "c.txt")]
    rows, numbers = _rows(read_raw(files, chunk_bytes=1000))
    assert rows == expected and numbers == list(range(50))


def test_quotes_nul_unicode_and_lone_carriage_returns(tmp_path):
    line = criteo_lines(1, seed=3)[0]
    for field, value in {
        "C1": '"a',
        "C2": 'b"c"',
        "C3": "x\0y",
        "C4": "é日",
        "C5": "x\ry",
        "C6": "x\r",
    }.items():
        line = _changed(line, field, value)
    frame = texts(next(iter(read_raw([_write(tmp_path / "a.txt", [line])]))).columns)
    # A lone carriage return reads as NUL: text with either is never a level.
    assert frame.select("C1", "C2", "C3", "C4", "C5", "C6").rows() == [
        ('"a', 'b"c"', "x\0y", "é日", "x\0y", "x\0"),
    ]


LINE = criteo_lines(1, seed=3)[0]


@pytest.mark.parametrize(
    "bad, message",
    [
        (_changed(LINE, "I3", "abc"), "field I3: 'abc' is not an integer"),
        (_changed(LINE, "I1", "1.5"), "field I1: '1.5' is not an integer"),
        (_changed(LINE, "I1", "+5"), "field I1: '+5' is not an integer"),
        (_changed(LINE, "I1", " 5"), "field I1: ' 5' is not an integer"),
        (_changed(LINE, "I13", "9223372036854775808"), "field I13: '9223372036854775808' is not an integer"),
        (_changed(LINE, "label", "2"), "field label: '2' is not 0 or 1"),
        (_changed(LINE, "label", ""), "field label: '' is not 0 or 1"),
        (_changed(LINE, "label", "x") + "\textra", "the line has 41 fields instead of 40"),
        (LINE.rsplit("\t", 1)[0], "the line has 39 fields instead of 40"),
        ("", "the line has 1 fields instead of 40"),
        (_changed(LINE, "C7", "a\udcff"), r"field C7: 'a\xff' is not valid UTF-8"),
        (_changed(_changed(LINE, "I9", "y"), "I2", "x"), "field I2: 'x' is not an integer"),
    ],
)
def test_a_bad_line_is_named_and_can_be_tolerated(tmp_path, bad, message):
    lines = criteo_lines(30, seed=3)
    path = _write(tmp_path / "train.txt", lines[:16] + [bad] + lines[16:])
    for chunk_bytes in (300, 1 << 20):
        with pytest.raises(DataError) as error:
            list(read_raw([path], chunk_bytes=chunk_bytes))
        assert str(error.value) == f"{path}:17: {message}; fix the line or allow it with --max_bad_rows"
        reader = read_raw([path], max_bad_rows=1, chunk_bytes=chunk_bytes)
        rows, numbers = _rows(reader)
        assert rows == [tuple(line.split("\t")) for line in lines]
        assert numbers == [i for i in range(31) if i != 16]
        assert reader.bad_rows == 1


def test_the_first_line_beyond_the_bound_is_named(tmp_path):
    lines = criteo_lines(20, seed=3)
    first, second = _write(tmp_path / "a.txt", lines[:10]), lines[10:]
    second[4] = _changed(second[4], "I3", "x")
    second[7] = "too\tshort"
    second[9] = _changed(second[9], "label", "-1")
    files = [first, _write(tmp_path / "b.txt", second)]
    with pytest.raises(DataError, match=r"b.txt:10: field label: '-1' is not 0 or 1; .*raise --max_bad_rows=2"):
        list(read_raw(files, max_bad_rows=2))
    assert len(_rows(read_raw(files, max_bad_rows=3))[0]) == 17


def test_empty_missing_and_truncated_files(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match="empty.txt: the file is empty"):
        read_raw([tmp_path / "empty.txt"])
    with pytest.raises(DataError, match="none.txt: raw file not found"):
        read_raw([tmp_path / "none.txt"])
    data = gzip.compress("\n".join(criteo_lines(500, seed=3)).encode())
    (tmp_path / "cut.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="cut.gz: truncated or damaged compressed"):
        list(read_raw([tmp_path / "cut.gz"]))


def test_optional_label(tmp_path):
    lines = criteo_lines(10, seed=3)
    bare = _write(tmp_path / "test.txt", [line.split("\t", 1)[1] for line in lines])
    full = _write(tmp_path / "train.txt", lines)
    reader = read_raw([bare], label="optional")
    assert not reader.has_label
    assert _rows(reader)[0] == [tuple(line.split("\t")[1:]) for line in lines]
    assert read_raw([full], label="optional").has_label
    with pytest.raises(DataError, match="test.txt:1: the line has 39 fields instead of 40"):
        list(read_raw([bare]))
    with pytest.raises(DataError, match="test.txt: has other columns than .*train.txt .label in one"):
        read_raw([full, bare], label="optional")


TINY = RawFormat("tiny", "click", delimiter=",", has_header=True)
TINY_INPUTS = (Input("a", "a"), Input("n", "n", "log_square"))


def _tiny(*files, raw_format=TINY, **arguments):
    return RawReader(raw_format, TINY_INPUTS, files, **arguments)


def test_header_columns_in_any_order_and_further_ones(tmp_path):
    path = _write(tmp_path / "a.csv", ["n,id,click,a", "3,i,1,x", ",j,0,"])
    chunk = next(iter(_tiny(path)))
    assert chunk.label.tolist() == [1, 0]
    assert texts(chunk.columns).select("a", "n").rows() == [("x", "3"), ("", "")]
    reader = _tiny(_write(path, ["n,id,click,a", "3,i,1,x", "q,j,0,"]))
    with pytest.raises(DataError, match="a.csv:3: field n: 'q' is not an integer"):
        list(reader)
    with pytest.raises(DataError, match="a.csv:1: the header has no column 'a'; there are n, id, click"):
        _tiny(_write(path, ["n,id,click", "3,i,1"]))
    with pytest.raises(DataError, match="a.csv:1: the header has no label column 'click'"):
        _tiny(_write(path, ["n,a", "3,i"]))
    with pytest.raises(DataError, match="a.csv:1: the header names column 'a' twice"):
        _tiny(_write(path, ["n,a,click,a", "3,i,1,x"]))
    with pytest.raises(DataError, match="a.csv: has a header but no rows"):
        list(_tiny(_write(path, ["n,a,click"])))


def test_files_of_differing_columns_are_refused(tmp_path):
    first = _write(tmp_path / "a.csv", ["n,a,click", "3,x,1"])
    second = _write(tmp_path / "b.csv", ["a,click,n", "y,0,4"])
    rows, numbers = _rows(_tiny(first, second))
    assert rows == [("1", "3", "x"), ("0", "y", "4")] and numbers == [0, 1]
    third = _write(tmp_path / "c.csv", ["a,click,n,extra", "y,0,4,5"])
    with pytest.raises(DataError, match="c.csv: has other columns than .*a.csv .extra in one of them only"):
        _tiny(first, third)


QUOTED = RawFormat("tiny", "click", delimiter=",", has_header=True, quoted=True)


def test_quoted_values_with_delimiters_line_ends_and_quotes(tmp_path):
    path = tmp_path / "a.csv"
    content = '\ufeff"n",a,"click"\n3,"x, y",1\n"4","say ""hi""\nand bye",0\n,"",1\n5,"é",0'
    path.write_text(content)
    for chunk_bytes in (12, 30, 1 << 20):
        chunks = list(_tiny(path, raw_format=QUOTED, chunk_bytes=chunk_bytes))
        rows = [row for chunk in chunks for row in texts(chunk.columns).select("a", "n").rows()]
        assert rows == [("x, y", "3"), ('say "hi"\nand bye', "4"), ("", ""), ("é", "5")]
        assert np.concatenate([chunk.row_numbers for chunk in chunks]).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "rows, message",
    [
        ('3,"a\nb",1\n4,"x",7', "a.csv:4: field click: '7' is not 0 or 1"),
        ('3,"a\nb",1\n4,"x,",1,9', "a.csv:4: the line has 4 fields instead of 3"),
        ('3,"a\nb",1\n4,5" pipe,1', "a.csv:4: a quote inside a value that is not quoted"),
        ('3,"a"b,1\n', "a.csv:2: a quote inside a value"),
        ('3,"a\nb",1\n4,"x,1\n5,y,0\n', "a.csv:4: a quote is never closed"),
    ],
)
def test_bad_quoted_rows_are_named_by_their_first_line(tmp_path, rows, message):
    path = tmp_path / "a.csv"
    path.write_text("n,a,click\n" + rows + "\n")
    with pytest.raises(DataError, match=message):
        list(_tiny(path, raw_format=QUOTED))


def test_a_header_is_cut_at_line_feeds_alone(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n,a,click,odd\u2028name\n3,x,1,y\n")
    (chunk,) = RawReader(QUOTED, (*TINY_INPUTS, Input("odd", "odd\u2028name")), [path])
    assert texts(chunk.columns).row(0) == ("3", "x", "y")


def test_bad_rows_may_be_listened_to_instead(tmp_path):
    path, heard = _write(tmp_path / "a.csv", ["n,a,click", "x,1", "3,x,1", "q,y,0"]), []
    (chunk,) = _tiny(path, on_bad_row=heard.append)
    assert chunk.row_numbers.tolist() == [1]
    assert heard == [f"{path}:2: the line has 2 fields instead of 3", f"{path}:4: field n: 'q' is not an integer"]


def test_labels_as_other_programs_write_them(tmp_path):
    lines = ["n,a,click", *(f"1,x,{label}" for label in ("0", "1", "0.0", "1.0", "false", "True"))]
    (chunk,) = _tiny(_write(tmp_path / "a.csv", lines))
    assert chunk.label.tolist() == [0, 1, 0, 1, 0, 1]


def test_bzip2_equals_plain_and_damage_is_named(tmp_path):
    lines = criteo_lines(50, seed=3)
    data = bz2.compress("\n".join(lines).encode())
    (tmp_path / "a.bz2").write_bytes(data)
    assert _rows(read_raw([tmp_path / "a.bz2"], chunk_bytes=1000))[0] == [tuple(line.split("\t")) for line in lines]
    for damaged in (data[:-9], data[:60] + b"xx" + data[62:]):
        (tmp_path / "b.bz2").write_bytes(damaged)
        with pytest.raises(DataError, match="b.bz2: truncated or damaged compressed file"):
            list(read_raw([tmp_path / "b.bz2"]))


def test_parts_of_a_file_are_its_rows(tmp_path):
    lines = criteo_lines(40, seed=3)
    path = _write(tmp_path / "a.txt", lines)
    middle = sum(len(line) + 1 for line in lines[:17])
    second = FilePart(path, middle, None, 18)
    rows, numbers = _rows(read_raw([second], first_row=17))
    assert rows == [tuple(line.split("\t")) for line in lines[17:]] and numbers == list(range(17, 40))
    assert (count_lines(FilePart(path, 0, middle)), count_lines(second)) == (17, 23)
    rows, numbers = _rows(read_raw([FilePart(path, 0, middle)], chunk_bytes=100))
    assert len(rows) == 17 and numbers == list(range(17))


def test_parquet_rows_are_their_text(tmp_path):
    path = tmp_path / "a.parquet"
    frame = pl.DataFrame({"a": ["x", None, "z"], "n": [3, None, -1], "tags": [["p", "q"], [], None]})
    frame.with_columns(click=pl.Series([True, False, True])).write_parquet(path)
    fields = (*TINY_INPUTS, Input("tags", "tags", separator="|", max_values=4))
    raw_format = RawFormat("tabular", "click", delimiter="")
    chunks = list(RawReader(raw_format, fields, [path], chunk_bytes=512))
    assert [chunk.label.tolist() for chunk in chunks] == [[1, 0], [1]]
    assert [row for chunk in chunks for row in texts(chunk.columns).rows()] == [
        ("x", "3", "p|q"),
        ("", "", ""),
        ("z", "-1", ""),
    ]
    with pytest.raises(DataError, match="column tags holds lists; make it a multi-valued field"):
        list(RawReader(raw_format, (Input("tags", "tags"),), [path]))
    frame.with_columns(click=pl.Series([1, 0, 2])).write_parquet(path)
    with pytest.raises(DataError, match="a.parquet: row 3: field click: '2' is not 0 or 1; fix the row"):
        list(RawReader(raw_format, TINY_INPUTS, [path], chunk_bytes=512))
    with pytest.raises(DataError, match="a.parquet: the file has no column 'gone'"):
        RawReader(raw_format, (Input("gone", "gone"),), [path])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="a.parquet: not a readable Parquet file"):
        RawReader(raw_format, TINY_INPUTS, [path])
