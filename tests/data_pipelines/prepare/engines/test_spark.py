"""Preparation on a real standalone Spark cluster gives exactly the files that one machine gives."""

import functools
import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import spark_cluster
from command_line import ROOT
from criteo_build import files_of
from made_up_rows import criteo_lines

from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.split_rules import SplitRule
from data_pipelines.formats import make_format
from data_pipelines.prepare.build import build
from data_pipelines.prepare.engines import spark
from data_pipelines.prepare.engines.parts import count_rows, cut, numbered
from data_pipelines.prepare.extending import load_old
from data_pipelines.raw.lines import FilePart, read_lines
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    why = spark_cluster.missing()
    if why:
        pytest.skip(why)
    with pytest.MonkeyPatch.context() as patch:
        # For driver and executors too: these jobs are shorter than it takes to optimise their code.
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        with spark_cluster.cluster(tmp_path_factory.mktemp("spark")) as url:
            yield url


def _prepare(master, data_dir, *flags, **environment):
    command = [sys.executable, "-m", "data_pipelines.prepare", "--engine=spark", f"--spark_master={master}"]
    return subprocess.run(
        [*command, f"--data_dir={data_dir}", *flags],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def session(master):
    """Closes the session that the engines in this process share, which costs more than to prepare a small log."""
    yield
    from pyspark.sql import SparkSession

    if (active := SparkSession.getActiveSession()) is not None:
        active.stop()


def _check_same(master, raw, tmp_path, raw_format, inputs, old=None, **changed):
    options, shown = Options(raw_format, inputs, min_count=2, **changed), []
    build(options, raw, tmp_path / "spark", engine=spark.SparkEngine(master, shown.append), show=shown.append, old=old)
    assert shown[0].startswith("Spark 4") and shown[0].endswith(f"at {master}")
    build(options, raw, tmp_path / "local", show=lambda line: None, old=old)
    assert files_of(tmp_path / "spark") == files_of(tmp_path / "local")
    assert [path.name for path in tmp_path.glob("*.preparing")] == []


def test_a_bad_row_is_one_clear_message(master, tmp_path):
    # The first test of the file: the session that later ones share keeps all of the cluster's cores.
    lines = criteo_lines(100, seed=1)
    lines[70] = lines[70].replace("\t", "\tx", 1)
    (tmp_path / "train.txt").write_text("\n".join(lines))
    finished = _prepare(master, tmp_path / "d", f"--raw={tmp_path / 'train.txt'}")
    assert f"at {master}" in finished.stdout
    errors = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
    assert finished.returncode == 1 and "Traceback (most recent call last)" not in finished.stderr
    assert len(errors) == 1 and f"{tmp_path / 'train.txt'}:71: field I1: 'x" in errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


def test_many_rows_in_many_parts(master, session, tmp_path, monkeypatch):
    raw, rows = tmp_path / "train.txt", 62_000
    subprocess.run(
        [sys.executable, "-m", "data_pipelines.synthetic", f"--rows={rows}", f"--out={raw}"], cwd=ROOT, check=True
    )
    raw_format, inputs = make_format("criteo")
    # Spark hands over rows by the ten thousand, so parts should have more.
    small_parts = functools.partial(cut, part_bytes=3 << 20)
    monkeypatch.setattr(spark, "cut", small_parts)
    parts = small_parts([raw], raw_format)
    assert 4 <= len(parts) < rows / 12_000
    _check_same(master, [raw], tmp_path, raw_format, inputs)
    data = open_data(tmp_path / "spark")
    assert sum(data.rows.values()) == rows and len(data.preparation.shards["train"]) == 4


def test_several_files_of_every_kind_of_field(master, session, tmp_path):
    rng = np.random.default_rng(0)
    schema = {
        "label": "y",
        "fields": [
            {"name": "tags", "kind": "multi_valued", "max_values": 3},
            {"name": "age", "kind": "numeric", "bins": "equal_frequency", "count": 7},
            {"name": "price", "kind": "numeric", "bins": "none", "scale": "log", "decimal": ","},
            {"name": "views", "kind": "numeric", "missing": ["NA"], "trim": True},
            {"name": "hour", "kind": "time", "part": "hour_of_day", "column": "at"},
            {"name": "text", "kind": "categorical"},
            {"name": "hashed text", "kind": "hashed", "column": "text", "buckets": 50},
            {"name": "other tags", "kind": "categorical", "column": "views", "shared_with": "tags"},
            {"name": "views text", "kind": "categorical", "column": "views", "trim": True, "vectors": "v.npy"},
            {"name": "cross", "kind": "cross", "fields": ["text", "age", "hour"], "buckets": 70},
            {"name": "hashed tags", "kind": "hashed", "column": "tags", "buckets": 9, "separator": "|"},
        ],
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    np.save(tmp_path / "v.npy", rng.normal(size=(50, 3)))
    raw = []
    for number in range(3):
        lines = ["y,tags,age,price,views,at,text"]
        for _ in range(700):
            tags = "|".join(rng.choice(list("abcdefg"), rng.integers(0, 5)))
            age, price = rng.normal(40, 9), rng.lognormal(3, 2)
            quoted = f'"é, {rng.integers(9)}\n"'
            price, views = f'"{price}"'.replace(".", ","), rng.choice([" NA", f"{rng.integers(99)} "])
            lines.append(f"{rng.integers(2)},{tags},{age:.3f},{price},{views},2014-10-21 0{number},{quoted}")
        raw.append(tmp_path / f"{number}.csv")
        raw[-1].write_text("\n".join(lines))
    raw[1] = raw[1].rename(tmp_path / "1.csv.gz")
    raw[1].write_bytes(gzip.compress(raw[1].read_bytes()))
    _check_same(master, raw, tmp_path, *make_format("tabular", schema_file=tmp_path / "schema.json"))


def test_data_that_extend_others(master, session, tmp_path):
    raw_format, inputs = make_format("criteo", "equal_frequency", bin_count=7)
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text("\n".join(criteo_lines(400, seed=number)) + "\n")
    options = Options(raw_format, inputs, min_count=1)
    build(options, [tmp_path / "0.txt"], tmp_path / "old", show=lambda line: None)
    old = load_old(tmp_path / "old", retire_after=1)
    # Levels that occur once are below the threshold; those of the old data have been seen all the same.
    _check_same(master, [tmp_path / "1.txt"], tmp_path, raw_format, inputs, old)
    extension = open_data(tmp_path / "spark").preparation.extension
    assert extension.reused and extension.of == (old.preparation.fingerprint(),)


def test_integers_of_criteo_as_values(master, session, tmp_path):
    # In equal bins: the fields of `test_several_files_of_every_kind_of_field` and `test_data_that_extend_others`.
    raw = [tmp_path / f"{number}.txt" for number in range(2)]
    for number, path in enumerate(raw):
        path.write_text("\n".join(criteo_lines(500, seed=number)) + "\n")
    _check_same(master, raw, tmp_path, *make_format("criteo", numeric="value"))


def test_a_split_by_time_with_weights_and_a_share_of_the_negatives(master, session, tmp_path):
    rng = np.random.default_rng(0)
    schema = {"label": "y", "weight": "w", "fields": [{"name": "a", "kind": "categorical"}]}
    schema["fields"].append({"name": "n", "kind": "numeric", "bins": "none"})
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    raw = []
    for number in range(3):
        rows = zip(*rng.integers(0, [[2], [9], [50], [100], [24]], (5, 500)), strict=True)
        lines = ["y,w,a,n,at", *(f"{y},{w / 4},{a},{n},2024-03-0{1 + n % 7} {hour:02}:30" for y, w, a, n, hour in rows)]
        raw.append(tmp_path / f"{number}.csv")
        raw[-1].write_text("\n".join(lines))
    found = make_format("tabular", schema_file=tmp_path / "schema.json")
    rule = SplitRule("column", "at")
    _check_same(master, raw, tmp_path, *found, split_rule=rule, negative_rate=0.5)


def test_java_that_is_missing_or_old_is_named(criteo_raw_file, tmp_path):
    if spark_cluster.missing():
        pytest.skip(spark_cluster.missing())
    java = tmp_path / "bin" / "java"
    for content, message in ((None, "none was found"), ("1.8.0_392", f"but {java} is openjdk version")):
        if content:
            java.parent.mkdir()
            java.write_text(f"#!/bin/sh\necho 'openjdk version \"{content}\"' >&2\n")
            java.chmod(0o755)
        finished = _prepare("local[1]", tmp_path / "d", f"--raw={criteo_raw_file}", JAVA_HOME=str(tmp_path))
        assert finished.returncode == 1
        assert "error: --engine=spark needs Java 17" in finished.stderr and message in finished.stderr


@pytest.mark.parametrize("part_bytes", [1, 500, 10_000, 10**6])
def test_parts_hold_every_row_once_with_its_number(tmp_path, part_bytes):
    raw_format = RawFormat("tiny", "y", delimiter=",", has_header=True)
    lines = [f"{i % 2},{'x' * (i % 37)}{i}" for i in range(1000)]
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    files[0].write_text("\n".join(["y,a", *lines[:600]]) + "\n")
    files[1].write_text("\n".join(["y,a", *lines[600:]]))
    parts = cut(files, raw_format, part_bytes)
    found = numbered(parts, [count_rows(part, raw_format) for part in parts])
    for one in found:
        chunks = list(read_lines(one.part, raw_format, True, 100))
        rows = b"".join(chunk.data for chunk in chunks).decode().splitlines()
        assert rows == lines[one.first_row : one.first_row + len(rows)]
        if chunks:
            text = one.part.path.read_text().splitlines()
            assert text[chunks[0].first_line - 1] == rows[0]
    assert len(found) > 2 or part_bytes == 10**6
    assert sum(count_rows(part, raw_format)[1] for part in parts) == 1000


def test_compressed_quoted_and_parquet_files_stay_whole(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('y,a\n1,"x\ny"\n' * 50)
    quoted, plain = (RawFormat("tiny", "y", (), ",", has_header=True, quoted=quoted) for quoted in (True, False))
    assert cut([path], quoted, 10) == [FilePart(path)]
    assert count_rows(FilePart(path), quoted) == (0, 99)
    path.write_bytes(gzip.compress(b"y,a\n1,x\n0,z\n"))
    assert cut([path], plain, 10) == [FilePart(path)]
    assert count_rows(FilePart(path), plain) == (0, 2)
