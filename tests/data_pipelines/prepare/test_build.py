import collections
import gzip
import math

import numpy as np
import pytest
from criteo_build import FORMAT, INPUTS, OPTIONS, OTHER_BINS, build_criteo, files_of
from made_up_rows import criteo_lines

from data_pipelines.errors import UserError
from data_pipelines.fields.counting import LevelCounter
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.prepare import build as build_module
from data_pipelines.prepare.engines import shuffle
from data_pipelines.prepare.engines.local import LocalEngine
from data_pipelines.prepare.engines.memory import MemoryPlan
from data_pipelines.raw import RawReader
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options
from data_pipelines.row_hashes import split_of_rows


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
    data = build_criteo(raw, tmp_path / "criteo")
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
    build_criteo(criteo_raw_file, tmp_path / "criteo")
    assert files_of(tmp_path / "criteo") == files_of(prepared_criteo)
    assert len(spills) > 10 and len(set(spills)) > 3


def test_gzip_prepares_the_same_rows(prepared_criteo, criteo_raw_file, tmp_path):
    raw = tmp_path / "train.txt.gz"
    raw.write_bytes(gzip.compress(criteo_raw_file.read_bytes()))
    build_criteo(raw, tmp_path / "criteo")
    differing = {
        name for name, content in files_of(tmp_path / "criteo").items() if content != files_of(prepared_criteo)[name]
    }
    assert differing == {"preparation.json", "SHA256SUMS"}  # which names the raw file


def test_the_seed_changes_split_and_order(prepared_criteo, criteo_raw_file, tmp_path):
    other = build_criteo(criteo_raw_file, tmp_path / "criteo", Options(FORMAT, INPUTS, 2, seed=1, block_rows=128))
    data = open_data(prepared_criteo)
    assert other.rows != data.rows and other.fingerprint != data.fingerprint


def test_the_other_numeric_rule(criteo_raw_file, tmp_path):
    options = Options(FORMAT, OTHER_BINS, 2, block_rows=128)
    data = build_criteo(criteo_raw_file, tmp_path / "criteo", options)
    levels = Vocabularies.load(data.path, data.schema).levels["I1"]
    assert {"", "=0", "log:0", "-log:0", "log:9"} <= set(levels)


def test_bad_rows_leave_the_other_rows_where_they_were(criteo_raw_file, tmp_path):
    lines = criteo_raw_file.read_text().splitlines()
    split = split_of_rows(np.arange(len(lines)), OPTIONS.split, OPTIONS.seed)
    lines[5], lines[700] = "broken", lines[700] + "\t"
    (tmp_path / "train.txt").write_text("\n".join(lines))
    data = build_criteo(tmp_path / "train.txt", tmp_path / "criteo", max_bad_rows=2)
    expected = np.bincount(np.delete(split, [5, 700])).tolist()
    assert list(data.rows.values()) == expected and data.preparation.bad_rows == 2
    # What was found counts, not what was allowed.
    shown = []
    build_criteo(tmp_path / "train.txt", tmp_path / "criteo", max_bad_rows=9, shown=shown)
    assert shown == [f"{tmp_path / 'criteo'}: already prepared"]
    with pytest.raises(UserError, match="leaving out 2 bad rows"):
        build_criteo(tmp_path / "train.txt", tmp_path / "criteo", max_bad_rows=1)


def test_neighbours_of_the_raw_file_do_not_stay_neighbours(tmp_path):
    # C1 names the row: line i holds level i, in a file of 4,000 rows.
    lines = []
    for i, line in enumerate(criteo_lines(4000, seed=5)):
        values = line.split("\t")
        values[14] = f"{i:08x}"
        lines.append("\t".join(values))
    (tmp_path / "train.txt").write_text("\n".join(lines))
    options = Options(FORMAT, INPUTS, min_count=1, split=(0.9, 0.05, 0.05), block_rows=256)
    data = build_criteo(tmp_path / "train.txt", tmp_path / "criteo", options)
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
    data, whole = build_criteo(criteo_raw_file, tmp_path / "criteo"), open_data(prepared_criteo)
    assert len(data.preparation.shards["train"]) > 10
    for split in data.rows:
        assert sorted(_evaluated(data, split)[0].tolist()) == sorted(_evaluated(whole, split)[0].tolist())


def test_unseen_rows_of_a_log_without_labels_encode_the_same(prepared_criteo, criteo_raw_file, tmp_path):
    data = open_data(prepared_criteo)
    vocabularies = Vocabularies.load(prepared_criteo, data.schema)
    lines = criteo_raw_file.read_text().splitlines()
    (tmp_path / "test.txt").write_text("\n".join(line.split("\t", 1)[1] for line in lines))
    bare, full = (
        [vocabularies.encode(chunk.columns) for chunk in RawReader(FORMAT, INPUTS, [path], label="ignored")]
        for path in (tmp_path / "test.txt", criteo_raw_file)
    )
    np.testing.assert_array_equal(np.concatenate(bare), np.concatenate(full))


def test_a_run_that_was_stopped_after_the_last_record_file_goes_on(
    monkeypatch, prepared_criteo, criteo_raw_file, tmp_path
):
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(build_module, "_describe", stop)
        build_criteo(criteo_raw_file, tmp_path / "d")
    assert not (tmp_path / "d.preparing" / "buckets").exists()
    build_criteo(criteo_raw_file, tmp_path / "d")
    assert files_of(tmp_path / "d") == files_of(prepared_criteo)


def test_a_run_of_another_engine_starts_afresh(monkeypatch, prepared_criteo, criteo_raw_file, tmp_path, caplog):
    class OtherEngine(LocalEngine):
        """Makes new files inaccessible to other users."""

        def write(self, *arguments):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_criteo(criteo_raw_file, tmp_path / "d", engine=OtherEngine(1.0, lambda line: None))
    build_criteo(criteo_raw_file, tmp_path / "d")
    assert "was of other data or options; starting afresh" in caplog.text
    assert files_of(tmp_path / "d") == files_of(prepared_criteo)
