import bz2
import gzip

import pytest
from made_up_rows import criteo_lines
from raw_rows import rows_of, write

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import texts
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.formats.criteo import FORMAT, inputs
from data_pipelines.raw import RawReader
from data_pipelines.raw.lines import FilePart, count_lines

NAMES = list(FORMAT.columns)


def read_raw(files, **arguments):
    return RawReader(FORMAT, inputs(), files, **arguments)


def _changed(line, field, value):
    values = line.split("\t")
    values[NAMES.index(field)] = value
    return "\t".join(values)


@pytest.mark.parametrize("chunk_bytes", [100, 10_000, 1 << 20])
def test_rows_are_the_text_of_the_log(tmp_path, chunk_bytes):
    lines = criteo_lines(200, seed=3)
    rows, numbers = rows_of(read_raw([write(tmp_path / "a.txt", lines)], chunk_bytes=chunk_bytes))
    assert rows == [tuple(line.split("\t")) for line in lines]
    assert numbers == list(range(200))


@pytest.mark.parametrize("chunk_bytes", [1, 8, 1 << 20])
def test_a_byte_order_mark_within_a_log_is_text_wherever_a_chunk_begins(tmp_path, chunk_bytes):
    table = RawFormat("tabular", "y", delimiter=",", has_header=True)
    path = write(tmp_path / "a.csv", ["a,y", "\ufeffx,1", "x,0", "\ufeffx,1"])
    rows, _ = rows_of(RawReader(table, (Input("a", "a"),), [path], chunk_bytes=chunk_bytes))
    assert rows == [("1", "\ufeffx"), ("0", "x"), ("1", "\ufeffx")]


def test_gzip_crlf_and_no_last_line_end_equal_plain(tmp_path):
    lines = criteo_lines(50, seed=3)
    expected = [tuple(line.split("\t")) for line in lines]
    (tmp_path / "a.gz").write_bytes(gzip.compress("\n".join(lines[:20]).encode()) + gzip.compress(b"\n"))
    write(tmp_path / "b.txt", lines[20:40], end="\r\n")
    (tmp_path / "c.txt").write_text("\n".join(lines[40:]))
    files = [tmp_path / name for name in ("a.gz", "b.txt", "c.txt")]
    rows, numbers = rows_of(read_raw(files, chunk_bytes=1000))
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
    frame = texts(next(iter(read_raw([write(tmp_path / "a.txt", [line])]))).columns)
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
    path = write(tmp_path / "train.txt", lines[:16] + [bad] + lines[16:])
    for chunk_bytes in (300, 1 << 20):
        with pytest.raises(UserError) as error:
            list(read_raw([path], chunk_bytes=chunk_bytes))
        assert str(error.value) == f"{path}:17: {message}; fix the line or allow it with --max_bad_rows"
        reader = read_raw([path], max_bad_rows=1, chunk_bytes=chunk_bytes)
        rows, numbers = rows_of(reader)
        assert rows == [tuple(line.split("\t")) for line in lines]
        assert numbers == [i for i in range(31) if i != 16]
        assert reader.bad_rows == 1


def test_the_first_line_beyond_the_bound_is_named(tmp_path):
    lines = criteo_lines(20, seed=3)
    first, second = write(tmp_path / "a.txt", lines[:10]), lines[10:]
    second[4] = _changed(second[4], "I3", "x")
    second[7] = "too\tshort"
    second[9] = _changed(second[9], "label", "-1")
    files = [first, write(tmp_path / "b.txt", second)]
    with pytest.raises(UserError, match=r"b.txt:10: field label: '-1' is not 0 or 1; .*raise --max_bad_rows=2"):
        list(read_raw(files, max_bad_rows=2))
    assert len(rows_of(read_raw(files, max_bad_rows=3))[0]) == 17


def test_empty_missing_and_truncated_files(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(UserError, match="empty.txt: the file is empty"):
        read_raw([tmp_path / "empty.txt"])
    with pytest.raises(UserError, match="none.txt: raw file not found"):
        read_raw([tmp_path / "none.txt"])
    data = gzip.compress("\n".join(criteo_lines(500, seed=3)).encode())
    (tmp_path / "cut.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="cut.gz: truncated or damaged compressed"):
        list(read_raw([tmp_path / "cut.gz"]))


def test_labels_that_are_not_asked_for(tmp_path):
    lines = criteo_lines(10, seed=3)
    rows = [tuple(line.split("\t")[1:]) for line in lines]
    bare = write(tmp_path / "test.txt", [line.split("\t", 1)[1] for line in lines])
    odd = write(tmp_path / "odd.txt", [_changed(line, "label", "?") for line in lines])
    full = write(tmp_path / "train.txt", lines)
    reader = read_raw([bare, odd, full], label="ignored")
    assert not reader.has_label and rows_of(reader)[0] == rows * 3
    with pytest.raises(UserError, match="test.txt:1: the line has 39 fields instead of 40"):
        list(read_raw([bare]))
    write(bare, [lines[0].split("\t", 1)[1], "x"])
    with pytest.raises(UserError, match="test.txt:2: the line has 1 fields .* 39; fix the line or take it out$"):
        list(read_raw([bare], label="ignored"))


def test_bzip2_equals_plain_and_damage_is_named(tmp_path):
    lines = criteo_lines(50, seed=3)
    data = bz2.compress("\n".join(lines).encode())
    (tmp_path / "a.bz2").write_bytes(data)
    assert rows_of(read_raw([tmp_path / "a.bz2"], chunk_bytes=1000))[0] == [tuple(line.split("\t")) for line in lines]
    for damaged in (data[:-9], data[:60] + b"xx" + data[62:]):
        (tmp_path / "b.bz2").write_bytes(damaged)
        with pytest.raises(UserError, match="b.bz2: truncated or damaged compressed file"):
            list(read_raw([tmp_path / "b.bz2"]))


def test_parts_of_a_file_are_its_rows(tmp_path):
    lines = criteo_lines(40, seed=3)
    path = write(tmp_path / "a.txt", lines)
    middle = sum(len(line) + 1 for line in lines[:17])
    second = FilePart(path, middle, None, 18)
    rows, numbers = rows_of(read_raw([second], first_row=17))
    assert rows == [tuple(line.split("\t")) for line in lines[17:]] and numbers == list(range(17, 40))
    assert (count_lines(FilePart(path, 0, middle)), count_lines(second)) == (17, 23)
    rows, numbers = rows_of(read_raw([FilePart(path, 0, middle)], chunk_bytes=100))
    assert len(rows) == 17 and numbers == list(range(17))
