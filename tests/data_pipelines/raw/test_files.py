"""What --raw may name."""

import os
import threading

import polars as pl
import pytest
from raw_rows import rows_of, write

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.raw import RawReader
from data_pipelines.raw.files import raw_files

CSV = RawFormat("tabular", "y", delimiter=",", has_header=True, quoted=True)
PARQUET = RawFormat("tabular", "y", delimiter="")
FIELDS = (Input("a", "a"),)


def _parts(folder):
    folder.mkdir()
    for number in (10, 0, 2):
        write(folder / f"part-{number:05d}.csv", ["y,a", f"1,{number}"])
    write(folder / "part-00005.csv", ["y,a"])
    for name in ("_SUCCESS", ".part-00000.csv.crc", "part-00007.csv", "_metadata"):
        (folder / name).touch()
    return folder


def test_a_folder_of_part_files_in_name_order(tmp_path):
    folder = _parts(tmp_path / "parts")
    files = raw_files([str(folder)])
    assert [file.name for file in files] == [f"part-{number:05d}.csv" for number in (0, 2, 5, 10)]
    assert rows_of(RawReader(CSV, FIELDS, files))[0] == [("1", "0"), ("1", "2"), ("1", "10")]
    assert raw_files([f"{folder}/part-*.csv"]) == files and raw_files([f"{folder}/*"]) == files
    assert raw_files([f"{folder}/part-0000[02].csv"]) == files[:2]


def test_folders_of_partitions(tmp_path):
    for day in ("2014-10-22", "2014-10-21"):
        write_to = tmp_path / "log" / f"day={day}"
        write_to.mkdir(parents=True)
        write(write_to / "part-0.csv", ["y,a", f"1,{day}"])
    files = raw_files([str(tmp_path / "log")])
    assert [row[1] for row in rows_of(RawReader(CSV, FIELDS, files))[0]] == ["2014-10-21", "2014-10-22"]
    with pytest.raises(UserError, match="has no column 'day'; .* day is in the folder's name alone: write it into"):
        RawReader(CSV, (Input("day", "day"),), files)
    (tmp_path / "log" / "old").mkdir()
    with pytest.raises(UserError, match="log: holds a folder, old; name the folders to read"):
        raw_files([str(tmp_path / "log")])


def test_commas(tmp_path):
    one, two = write(tmp_path / "a.csv", ["y,a"]), write(tmp_path / "b,c.csv", ["y,a"])
    assert raw_files([f"{one},{one}"]) == [one, one]
    assert raw_files([str(two)]) == [two]
    assert raw_files([f'{one},"{two}"']) == [one, two] == raw_files([str(one), str(two)])
    with pytest.raises(UserError, match="d.csv: raw file not found"):
        raw_files([f"{one},{tmp_path}/d.csv"])


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match=r"part-\*: no file fits the pattern"):
        raw_files([f"{tmp_path}/part-*"])
    (tmp_path / "_SUCCESS").touch()
    with pytest.raises(UserError, match="the folder has no files with rows"):
        raw_files([str(tmp_path)])
    with pytest.raises(UserError, match="/dev/null: is a device, not a file"):
        raw_files(["/dev/null"])


def test_a_pipe_is_read_once(tmp_path):
    pipe, lines = tmp_path / "pipe", ["y,a", *(f"{i % 2},{i}" for i in range(20_000))]
    os.mkfifo(pipe)
    writer = threading.Thread(target=write, args=(pipe, lines))
    writer.start()
    (file,) = raw_files([str(pipe)])
    writer.join()
    assert file != pipe and len(rows_of(RawReader(CSV, FIELDS, [file]))[0]) == 20_000


def test_parquet_and_text_are_told_apart_by_their_bytes(tmp_path):
    rows = [("1", "x"), ("0", "y,\n")]
    frame = pl.DataFrame(rows, schema=["y", "a"], orient="row").with_columns(more=1.5)
    frame.write_parquet(tmp_path / "b.parquet")
    frame.write_csv(tmp_path / "a.csv")
    frame.write_csv(tmp_path / "c.csv", separator=";")
    files = sorted(tmp_path.iterdir())
    assert rows_of(RawReader(CSV, FIELDS, files[:2]))[0] == rows * 2
    assert rows_of(RawReader(PARQUET, FIELDS, files))[0] == rows * 3


def test_wrong_delimiters_and_names_are_told(tmp_path):
    with pytest.raises(UserError, match="a semicolon would split it into the columns that are wanted: set that"):
        RawReader(CSV, FIELDS, [write(tmp_path / "a.csv", ["y;a", "1;x"])])
    with pytest.raises(UserError, match=r"has no column 'a'; there are y, ' a'; ' a' differs by blanks or capitals"):
        RawReader(CSV, FIELDS, [write(tmp_path / "a.csv", ["y, a", "1,x"])])
    plain = RawFormat("plain", "y", ("y", "a", "b"))
    with pytest.raises(UserError, match="a.csv:1: the line has 1 fields by a tab, and 3 by a comma; plain logs have 3"):
        RawReader(plain, FIELDS, [write(tmp_path / "a.csv", ["1,x,y"])])
