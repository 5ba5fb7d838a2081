"""Reading tables with a header: columns by name, quotes, Parquet."""

import numpy as np
import polars as pl
import pytest
from raw_rows import rows_of, write

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import texts
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.raw import RawReader

TINY = RawFormat("tiny", "click", delimiter=",", has_header=True)
TINY_INPUTS = (Input("a", "a"), Input("n", "n", "log_square"))


def _tiny(*files, raw_format=TINY, **arguments):
    return RawReader(raw_format, TINY_INPUTS, files, **arguments)


def test_header_columns_in_any_order_and_further_ones(tmp_path):
    path = write(tmp_path / "a.csv", ["n,id,click,a", "3,i,1,x", ",j,0,"])
    chunk = next(iter(_tiny(path)))
    assert chunk.label.tolist() == [1, 0]
    assert texts(chunk.columns).select("a", "n").rows() == [("x", "3"), ("", "")]
    reader = _tiny(write(path, ["n,id,click,a", "3,i,1,x", "q,j,0,"]))
    with pytest.raises(UserError, match="a.csv:3: field n: 'q' is not an integer"):
        list(reader)
    with pytest.raises(UserError, match="a.csv:1: the header has no column 'a'; there are n, id, click"):
        _tiny(write(path, ["n,id,click", "3,i,1"]))
    with pytest.raises(UserError, match="a.csv:1: the header has no label column 'click'"):
        _tiny(write(path, ["n,a", "3,i"]))
    with pytest.raises(UserError, match="a.csv:1: the header names column 'a' twice"):
        _tiny(write(path, ["n,a,click,a", "3,i,1,x"]))
    with pytest.raises(UserError, match="a.csv: has a header but no rows"):
        list(_tiny(write(path, ["n,a,click"])))


def test_files_of_differing_columns_are_refused(tmp_path):
    first = write(tmp_path / "a.csv", ["n,a,click", "3,x,1"])
    second = write(tmp_path / "b.csv", ["a,click,n", "y,0,4"])
    rows, numbers = rows_of(_tiny(first, second))
    assert rows == [("1", "3", "x"), ("0", "y", "4")] and numbers == [0, 1]
    third = write(tmp_path / "c.csv", ["a,click,n,extra", "y,0,4,5"])
    with pytest.raises(UserError, match="c.csv: has other columns than .*a.csv .extra in one of them only"):
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
    with pytest.raises(UserError, match=message):
        list(_tiny(path, raw_format=QUOTED))


def test_a_header_is_cut_at_line_feeds_alone(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n,a,click,odd\u2028name\n3,x,1,y\n")
    (chunk,) = RawReader(QUOTED, (*TINY_INPUTS, Input("odd", "odd\u2028name")), [path])
    assert texts(chunk.columns).row(0) == ("3", "x", "y")


def test_bad_rows_may_be_listened_to_instead(tmp_path):
    path, heard = write(tmp_path / "a.csv", ["n,a,click", "x,1", "3,x,1", "q,y,0"]), []
    (chunk,) = _tiny(path, on_bad_row=heard.append)
    assert chunk.row_numbers.tolist() == [1]
    assert heard == [f"{path}:2: the line has 2 fields instead of 3", f"{path}:4: field n: 'q' is not an integer"]


def test_labels_as_other_programs_write_them(tmp_path):
    lines = ["n,a,click", *(f"1,x,{label}" for label in ("0", "1", "0.0", "1.0", "false", "True"))]
    (chunk,) = _tiny(write(tmp_path / "a.csv", lines))
    assert chunk.label.tolist() == [0, 1, 0, 1, 0, 1]


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
    with pytest.raises(UserError, match="column tags holds lists; make it a multi-valued field"):
        list(RawReader(raw_format, (Input("tags", "tags"),), [path]))
    frame.with_columns(click=pl.Series([1, 0, 2])).write_parquet(path)
    with pytest.raises(UserError, match="a.parquet: row 3: field click: '2' is not 0 or 1; say in the schema"):
        list(RawReader(raw_format, TINY_INPUTS, [path], chunk_bytes=512))
    with pytest.raises(UserError, match="a.parquet: the file has no column 'gone'"):
        RawReader(raw_format, (Input("gone", "gone"),), [path])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="a.parquet: not a readable Parquet file"):
        RawReader(raw_format, TINY_INPUTS, [path])


def test_a_quote_and_a_carriage_return_at_the_end_of_a_chunk(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'n,a,click\r\n3,x,"1"\r\n4,"y","0"\r\n')
    for chunk_bytes in range(1, 40):
        assert rows_of(_tiny(path, raw_format=QUOTED, chunk_bytes=chunk_bytes))[0] == [("1", "3", "x"), ("0", "4", "y")]


def test_text_of_columns_that_are_not_read_need_not_be_utf_8(tmp_path):
    path = tmp_path / "a.csv"
    for other in (b"", b"\n1,2"):
        path.write_bytes(b"n,a,click,url\n3,x,1,\xe9\n" + b'4,"y,z",0,"\xff,"' + other + b"\n")
        heard = []
        rows, _ = rows_of(_tiny(path, raw_format=QUOTED, on_bad_row=heard.append))
        assert rows == [("1", "3", "x"), ("0", "4", "y,z")]
        assert heard == ([f"{path}:4: the line has 2 fields instead of 4"] if other else [])
    path.write_bytes(b'n,a,click,url\n3,"x,\xe9",1,\n')
    with pytest.raises(UserError, match=r"a.csv:2: field a: '\"x,\\xe9\"' is not valid UTF-8"):
        list(_tiny(path, raw_format=QUOTED))
