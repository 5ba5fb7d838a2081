import collections
import errno
import gzip
import math

import numpy as np
import pytest
from made_up_rows import criteo_lines

from data_pipelines.build import build
from data_pipelines.counting import LevelCounter
from data_pipelines.dataset import open_data
from data_pipelines.engines import shuffle
from data_pipelines.engines.memory import MemoryPlan
from data_pipelines.errors import DataError
from data_pipelines.formats import make_format
from data_pipelines.preparation import Options
from data_pipelines.raw import RawReader
from data_pipelines.splits import split_of_rows
from data_pipelines.vocabulary import Vocabularies

FORMAT, INPUTS = make_format("criteo")
OPTIONS = Options(FORMAT, INPUTS, min_count=2, block_rows=128)
OTHER_BINS = make_format("criteo", "log_of_square")[1]



def _build(raw, data_dir, options=OPTIONS, shown=None, **arguments):
    build(options, [raw], data_dir, show=(shown if shown is not None else []).append, **arguments)
    return open_data(data_dir)


def _files(directory):
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def _evaluated(data, split):
    batches = list(data.evaluation(split, 1000).as_numpy_iterator())
    return np.concatenate([ids for ids, _ in batches]), np.concatenate([label for _, label in batches])


def _level(text, numeric):
    """The winning team's rule, in plain Python."""
    if not numeric or text == "":
        return text
    value = int(text)
    return f"log:{math.floor(math.log(value) ** 2)}" if value > 2 else f"={value}"


def _recounted(lines, min_count):
    """Vocabularies, split indices and base rates of Criteo lines by a plain-Python recount."""
    split = split_of_rows(np.arange(len(lines)), OPTIONS.split, OPTIONS.seed)
    rows = [line.split("\t") for line in lines]
    counts = [collections.Counter() for _ in range(39)]
    for row, where in zip(rows, split, strict=True):
        if where == 0:
            for position, text in enumerate(row[1:]):
                counts[position][_level(text, position < 13)] += 1
    levels = []
    for counter in counts:
        kept = [level for level, count in counter.items() if count >= min_count]
        levels.append(sorted(kept, key=lambda level: (-counter[level], level)))
    return levels, split, rows


def _check_against_recount(data, lines, min_count):
    levels, split, rows = _recounted(lines, min_count)
    vocabularies = Vocabularies.load(data.path, data.schema)
    for field, expected in zip(data.schema.fields, levels, strict=True):
        assert vocabularies.levels[field.name].to_list() == expected
        assert field.size == len(expected) + 1
    table = [
        {level: i for i, level in enumerate(known, start=field.offset + 1)}
        for field, known in zip(data.schema.fields, levels, strict=True)
    ]
    for index, name in enumerate(("train", "validation", "test")):
        expected_rows = [row for row, where in zip(rows, split, strict=True) if where == index]
        assert data.rows[name] == len(expected_rows)
        assert data.positives[name] == sum(row[0] == "1" for row in expected_rows)
        expected_ids = [
            [
                table[position].get(_level(text, position < 13), data.schema.fields[position].offset)
                for position, text in enumerate(row[1:])
            ]
            + [int(row[0])]
            for row in expected_rows
        ]
        ids, labels = _evaluated(data, name)
        assert sorted(np.column_stack([ids, labels.astype(int)]).tolist()) == sorted(expected_ids)


def test_vocabularies_ids_and_rates_equal_a_plain_recount(prepared_criteo, criteo_raw_file):
    _check_against_recount(open_data(prepared_criteo), criteo_raw_file.read_text().splitlines(), min_count=2)


def test_real_criteo_rows_equal_a_plain_recount(shared_data, tmp_path):
    raw = shared_data / "criteo" / "train.txt"
    data = _build(raw, tmp_path / "criteo")
    lines = raw.read_text().splitlines()
    _check_against_recount(data, lines, min_count=2)
    assert sum(data.rows.values()) == 10_000
    assert sum(data.positives.values()) == sum(line[0] == "1" for line in lines)


@pytest.mark.parametrize("chunk_bytes", [20_000, 100_000])
def test_files_do_not_depend_on_chunks(monkeypatch, prepared_criteo, criteo_raw_file, tmp_path, chunk_bytes):
    # Counts go to disk again and again, too.
    plan = MemoryPlan(chunk_bytes, count_bytes=150_000, max_levels=10**6)
    monkeypatch.setattr(MemoryPlan, "within", classmethod(lambda cls, memory_gb: plan))
    spills = []
    spill = LevelCounter._spill
    monkeypatch.setattr(LevelCounter, "_spill", lambda self, name: spills.append(name) or spill(self, name))
    _build(criteo_raw_file, tmp_path / "criteo")
    assert _files(tmp_path / "criteo") == _files(prepared_criteo)
    assert len(spills) > 10 and len(set(spills)) > 3


def test_gzip_prepares_the_same_rows(prepared_criteo, criteo_raw_file, tmp_path):
    raw = tmp_path / "train.txt.gz"
    raw.write_bytes(gzip.compress(criteo_raw_file.read_bytes()))
    _build(raw, tmp_path / "criteo")
    differing = {
        name for name, content in _files(tmp_path / "criteo").items() if content != _files(prepared_criteo)[name]
    }
    assert differing == {"preparation.json"}  # it names the raw file


def test_the_seed_changes_split_and_order(prepared_criteo, criteo_raw_file, tmp_path):
    other = _build(criteo_raw_file, tmp_path / "criteo", Options(FORMAT, INPUTS, 2, seed=1, block_rows=128))
    data = open_data(prepared_criteo)
    assert other.rows != data.rows and other.fingerprint != data.fingerprint


def test_the_other_numeric_rule(criteo_raw_file, tmp_path):
    options = Options(FORMAT, OTHER_BINS, 2, block_rows=128)
    data = _build(criteo_raw_file, tmp_path / "criteo", options)
    levels = Vocabularies.load(data.path, data.schema).levels["I1"]
    assert {"", "=0", "log:0", "-log:0", "log:9"} <= set(levels)


def test_bad_rows_leave_the_other_rows_where_they_were(criteo_raw_file, tmp_path):
    lines = criteo_raw_file.read_text().splitlines()
    split = split_of_rows(np.arange(len(lines)), OPTIONS.split, OPTIONS.seed)
    lines[5], lines[700] = "broken", lines[700] + "\t"
    (tmp_path / "train.txt").write_text("\n".join(lines))
    data = _build(tmp_path / "train.txt", tmp_path / "criteo", max_bad_rows=2)
    expected = np.bincount(np.delete(split, [5, 700])).tolist()
    assert list(data.rows.values()) == expected and data.preparation.bad_rows == 2
    # What was found counts, not what was allowed.
    shown = []
    _build(tmp_path / "train.txt", tmp_path / "criteo", max_bad_rows=9, shown=shown)
    assert shown == [f"{tmp_path / 'criteo'}: already prepared"]
    with pytest.raises(DataError, match="leaving out 2 bad rows"):
        _build(tmp_path / "train.txt", tmp_path / "criteo", max_bad_rows=1)


def test_neighbours_of_the_raw_file_do_not_stay_neighbours(tmp_path):
    # C1 names the row: line i holds level i, in a file of 4,000 rows.
    lines = []
    for i, line in enumerate(criteo_lines(4000, seed=5)):
        values = line.split("\t")
        values[14] = f"{i:08x}"
        lines.append("\t".join(values))
    (tmp_path / "train.txt").write_text("\n".join(lines))
    options = Options(FORMAT, INPUTS, min_count=1, split=(0.9, 0.05, 0.05), block_rows=256)
    data = _build(tmp_path / "train.txt", tmp_path / "criteo", options)
    names = Vocabularies.load(data.path, data.schema).levels["C1"].to_list()
    field = next(field for field in data.schema.fields if field.name == "C1")
    batches = list(data.train(64, epochs=1).as_numpy_iterator())
    for ids in (_evaluated(data, "train")[0], np.concatenate([ids for ids, _ in batches])):
        lines_read = np.array([int(names[i], 16) for i in ids[:, 13] - field.offset - 1])
        assert len(set(lines_read.tolist())) == data.rows["train"]
        # In a random order, adjacent rows are a third of the file apart on average and 2 in n are neighbours.
        distance = np.abs(np.diff(lines_read))
        assert distance.mean() == pytest.approx(4000 / 3, rel=0.05)
        assert (distance == 1).sum() < 12
        assert abs(np.corrcoef(np.arange(len(lines_read)), lines_read)[0, 1]) < 0.06


def test_many_buckets_hold_every_row_once(monkeypatch, criteo_raw_file, prepared_criteo, tmp_path):
    monkeypatch.setattr(shuffle, "BUCKET_BYTES", 20_000)
    data, whole = _build(criteo_raw_file, tmp_path / "criteo"), open_data(prepared_criteo)
    assert len(data.preparation.shards["train"]) > 10
    for split in data.rows:
        assert sorted(_evaluated(data, split)[0].tolist()) == sorted(_evaluated(whole, split)[0].tolist())


@pytest.mark.parametrize(
    "options, message",
    [
        (Options(FORMAT, INPUTS, min_count=3, block_rows=128), "--min_count=2, not 3"),
        (Options(FORMAT, INPUTS, 2, (0.8, 0.1, 0.1), block_rows=128), r"--split=\(0.7, 0.1, 0.2\), not \(0.8"),
        (Options(FORMAT, INPUTS, 2, seed=7, block_rows=128), "--seed=0, not 7"),
        (
            Options(FORMAT, OTHER_BINS, 2, block_rows=128),
            r"criteo of 39 fields with I1 \(log_square\), not criteo of 39 fields with I1 \(log_of_square\)",
        ),
        (Options(FORMAT, INPUTS, 2), "--block_rows=128, not 4096"),
    ],
)
def test_other_options_than_there_are_named(prepared_criteo, criteo_raw_file, options, message):
    before = _files(prepared_criteo)
    with pytest.raises(DataError, match=f"was prepared (with|as) {message}.*delete it"):
        _build(criteo_raw_file, prepared_criteo, options)
    assert _files(prepared_criteo) == before


def test_existing_directories(prepared_criteo, criteo_raw_file, tmp_path):
    shown = []
    _build(criteo_raw_file, prepared_criteo, shown=shown)
    assert shown == [f"{prepared_criteo}: already prepared"]
    other = tmp_path / "train.txt"
    other.write_text("\n".join(criteo_lines(100, seed=9)))
    with pytest.raises(DataError, match="was prepared from train.txt .* not from this train.txt"):
        _build(other, prepared_criteo)
    (tmp_path / "mine").mkdir()
    _build(criteo_raw_file, tmp_path / "mine")  # an empty directory is as good as none
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    with pytest.raises(DataError, match="notes: exists and is not a prepared data directory"):
        _build(criteo_raw_file, tmp_path / "notes")
    (tmp_path / "mine" / "schema.json").unlink()
    with pytest.raises(DataError, match="schema.json.*prepare the data again"):
        _build(criteo_raw_file, tmp_path / "mine")


def _constant_labels(label):
    return [label + line[1:] for line in criteo_lines(300, seed=2)]


@pytest.mark.parametrize(
    "lines, message",
    [
        (criteo_lines(50, seed=2) + ["a\tb"], r"train.txt:51: the line has 2 fields instead of 40"),
        (_constant_labels("0"), "no positives"),
        (_constant_labels("1"), "no negatives"),
        (criteo_lines(2, seed=2), "split gets none of the 2 rows"),
    ],
)
def test_bad_input_leaves_nothing_behind(tmp_path, lines, message):
    (tmp_path / "train.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        _build(tmp_path / "train.txt", tmp_path / "criteo")
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


def test_a_failing_second_pass_leaves_nothing_behind(monkeypatch, criteo_raw_file, tmp_path):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shuffle, "write_shard", full)
    with pytest.raises(DataError, match="criteo: the disk is full .* bytes free"):
        _build(criteo_raw_file, tmp_path / "criteo")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_small_is_found_before_writing(monkeypatch, criteo_raw_file, tmp_path):
    usage = collections.namedtuple("usage", "total used free")(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(DataError, match="not enough space: about 471,000 bytes needed, 1,000 free"):
        _build(criteo_raw_file, tmp_path / "criteo")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"min_count": 0}, "--min_count"),
        ({"split": (0.7, 0.1, 0.1)}, "--split"),
        ({"split": (0.9, 0.0, 0.1)}, "--split"),
        ({"seed": -1}, "--seed"),
        ({"block_rows": 0}, "--block_rows"),
    ],
)
def test_options_out_of_range(arguments, message):
    with pytest.raises(DataError, match=message):
        Options(FORMAT, INPUTS, **arguments)


def test_unseen_rows_of_a_log_without_labels_encode_the_same(prepared_criteo, criteo_raw_file, tmp_path):
    data = open_data(prepared_criteo)
    vocabularies = Vocabularies.load(prepared_criteo, data.schema)
    lines = criteo_raw_file.read_text().splitlines()
    (tmp_path / "test.txt").write_text("\n".join(line.split("\t", 1)[1] for line in lines))
    bare, full = (
        [vocabularies.encode(chunk.columns) for chunk in RawReader(FORMAT, INPUTS, [path], label="optional")]
        for path in (tmp_path / "test.txt", criteo_raw_file)
    )
    np.testing.assert_array_equal(np.concatenate(bare), np.concatenate(full))
