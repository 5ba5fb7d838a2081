import collections
import dataclasses

import numpy as np
import pytest
from doctor_tables import as_json, changed, evaluated, only, rewrite
from sklearn.metrics import roc_auc_score

from data_pipelines.checksums import Checksums
from data_pipelines.doctor.prepared import examine_prepared, memory_bytes
from data_pipelines.errors import UserError
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Preparation


def test_healthy_criteo_rows_have_no_findings(prepared_criteo):
    report = examine_prepared(prepared_criteo)
    assert report.findings == [] and report.exit_code == 0
    lines = report.to_text().splitlines()
    assert max(map(len, lines)) <= 120 and lines[-1] == "0 errors, 0 warnings"
    assert len(as_json(report)["fields"]) == 39


def test_healthy_table_has_no_findings(healthy):
    report = examine_prepared(healthy)
    assert report.findings == []
    assert max(map(len, report.to_text().splitlines())) <= 120


def test_numbers_are_those_of_a_recount(healthy):
    content = as_json(examine_prepared(healthy))
    data = open_data(healthy)
    levels = Vocabularies.load(healthy, data.schema).levels
    rows = {split: evaluated(data, split) for split in data.rows}
    for row, split in zip(content["splits"], rows, strict=True):
        label = rows[split][2]
        assert row["split"] == split and row["rows"] == len(label) and row["positives"] == label.sum()
        assert row["base_rate"] == pytest.approx(label.mean())
    starts = np.cumsum([0, *data.schema.widths])
    for position, (row, field) in enumerate(zip(content["fields"], data.schema.fields, strict=True)):
        assert (row["field"], row["levels"]) == (field.name, field.size)
        texts = [None, *levels[field.name]]
        counts = {}
        for split, (ids, _, label) in rows.items():
            own = ids[:, starts[position] : starts[position] + field.width].tolist()
            cells = [texts[i - field.offset] for row_ids in own for i in row_ids if i >= 0]
            counts[split] = count = collections.Counter(cells)
            assert row["out_of_vocabulary"][split] == pytest.approx(count[None] / len(cells))
            assert row["missing"][split] == pytest.approx(count[""] / len(label))
            assert row["occurring"][split] == pytest.approx(sum(t in count for t in texts[1:]) / (field.size - 1))
        times = max(counts["train"].values())
        assert row["top_share"] == pytest.approx(times / counts["train"].total())
        assert counts["train"][row["top_level"] if row["top_level"] != "(out of vocabulary)" else None] == times
        if field.width == 1:
            assert row["padded"] is None
        else:
            ids = np.concatenate([rows[split][0] for split in rows])[:, starts[position] : starts[position + 1]]
            assert row["padded"] == pytest.approx((ids == -1).mean())
        if field.name == "color":
            share = {s: {t: counts[s][t] / counts[s].total() for t in texts} for s in counts}
            distance = sum(abs(share["train"][t] - share["test"][t]) for t in texts) / 2
            assert row["shift"]["test"] == pytest.approx(distance)
            train_ids, _, train_label = rows["train"]
            rate = {i: train_label[train_ids[:, 0] == i].mean() for i in np.unique(train_ids[:, 0])}
            held = [rows[s] for s in ("validation", "test")]
            scores = np.concatenate([[rate[i] for i in ids[:, 0]] for ids, _, _ in held])
            expected = roc_auc_score(np.concatenate([label for _, _, label in held]), scores)
            assert row["auc"] == pytest.approx(expected)
    (value,) = content["values"]
    assert value["field"] == "price" and value["not_finite"] == 0
    for split, (_, values, _) in rows.items():
        assert value["mean"][split] == pytest.approx(values.mean(), abs=1e-5)
        assert value["deviation"][split] == pytest.approx(values.std(), rel=1e-5)


def test_identical_rows_are_those_of_a_recount(healthy):
    data = open_data(healthy)
    keys = {}
    for split in data.rows:
        ids, values, label = evaluated(data, split)
        keys[split] = [(*a.tolist(), *b.tolist(), c) for a, b, c in zip(ids, values, label, strict=True)]
    counts = collections.Counter(key for split in keys.values() for key in split)
    content = as_json(examine_prepared(healthy))
    identical = sum(c for c in counts.values() if c > 1) / counts.total()
    assert 0 < content["facts"]["identical_rows"] == pytest.approx(identical)
    for row in content["splits"][1:]:
        own = keys[row["split"]]
        assert 0 < row["also_in_train"] == pytest.approx(sum(key in set(keys["train"]) for key in own) / len(own))


def test_memory_by_hand():
    assert memory_bytes(1000, 16, "adam") == (64_000, 128_000)
    assert memory_bytes(1000, 16, "adagrad") == (64_000, 64_000)
    assert memory_bytes(3, 2, "group_ftrl") == (24, 48) == memory_bytes(3, 2, "ftrl")
    assert memory_bytes(3, 2, "sgd") == (24, 0)
    with pytest.raises(UserError, match="unknown optimizer 'lion'; known: adam"):
        memory_bytes(1, 1, "lion")
    with pytest.raises(UserError, match="--embedding_dimension should be at least 1"):
        memory_bytes(1, 0, "adam")


def test_a_flipped_bit_is_found_and_named(data_dir):
    (shard,) = open_data(data_dir).preparation.shards["validation"]
    content = bytearray((data_dir / shard.file).read_bytes())
    content[len(content) // 2] ^= 1
    (data_dir / shard.file).write_bytes(content)
    report = examine_prepared(data_dir)
    message = only(report, "damaged_file", "error")
    assert message.startswith(f"{data_dir / shard.file}: damaged record file") and "prepare the data again" in message
    assert report.findings[-1].file == str(data_dir / shard.file) and report.exit_code == 1


def test_a_truncated_file_is_found_and_named(data_dir):
    (shard,) = open_data(data_dir).preparation.shards["test"]
    with (data_dir / shard.file).open("r+b") as file:
        file.truncate(shard.size - 100)
    message = only(examine_prepared(data_dir), "incomplete", "error")
    expected = f"{data_dir / shard.file}: {shard.size - 100} bytes instead of {shard.size}; prepare the data again"
    assert message == expected


def test_a_directory_that_is_not_there(tmp_path):
    assert "no such directory" in only(examine_prepared(tmp_path / "none"), "incomplete", "error")


def test_other_rows_than_recorded(data_dir):
    preparation = Preparation.load(data_dir)
    positives = preparation.positives | {"test": 1}
    dataclasses.replace(preparation, positives=positives).save(data_dir)
    message = only(examine_prepared(data_dir), "other_rows", "error")
    assert f"test: {preparation.rows['test']:,} rows with" in message and "with 1; prepare the data again" in message


def test_labels_that_are_no_labels(data_dir):
    rewrite(data_dir, "test", changed({("label",): 7}))
    report = examine_prepared(data_dir)
    assert "labels are neither 0 nor 1" in only(report, "label", "error")


def test_a_split_without_positives(data_dir):
    rewrite(data_dir, "validation", changed({("label",): 0}))
    report = examine_prepared(data_dir)
    assert "validation: " in only(report, "one_class", "error") and "no positives" in report.to_text()
    assert "validation: 0.0000 positive but 0.2" in only(report, "base_rate_shift", "warning")


def test_ids_outside_of_their_field(data_dir):
    field = open_data(data_dir).schema.fields[1]
    rewrite(data_dir, "test", lambda rows: changed({("ids", 1): field.offset + field.size})(rows[:500]))
    report = examine_prepared(data_dir)
    message = only(report, "outside", "error")
    assert message.startswith(f"field city: 500 ids of test are not in [{field.offset}, {field.offset + field.size})")


def test_padding_is_for_fields_of_several_values(data_dir):
    rewrite(data_dir, "test", lambda rows: changed({("ids", 0): -1})(rows[:400]))
    assert "field color: 400 ids of test" in only(examine_prepared(data_dir), "outside", "error")


def test_values_that_are_not_finite(data_dir):
    rewrite(data_dir, "test", lambda rows: changed({("values", 0): np.nan})(rows[:300]))
    assert "field price: 300 values are not finite numbers" in only(examine_prepared(data_dir), "not_finite", "error")


def test_files_that_are_no_part_of_the_data(data_dir):
    (data_dir / "vocabulary" / "old.txt").write_text("x\n")
    (data_dir / "notes.md").write_text("x\n")
    message = only(examine_prepared(data_dir), "unexpected_file", "warning")
    assert "2 files that are not part of the data: notes.md, vocabulary/old.txt; move them elsewhere" in message


def test_a_vocabulary_with_a_level_twice(data_dir):
    path = data_dir / "vocabulary" / "color.txt"
    path.write_bytes(path.read_bytes().replace(b"green", b"blue\x20").replace(b"blue\x20", b"red\nx"))
    Checksums(data_dir).add(["vocabulary/color.txt"])
    report = examine_prepared(data_dir)
    # The same number of bytes, but other lines.
    assert "color.txt: " in only(report, "vocabulary", "error")
    assert as_json(report)["fields"][0]["missing"] is None


def test_a_vocabulary_of_other_records(data_dir):
    def change(rows):
        rows["ids"][:, 1] = open_data(data_dir).schema.fields[1].offset + 1
        return rows

    rewrite(data_dir, "train", change)
    message = only(examine_prepared(data_dir), "vocabulary", "error")
    assert "levels are in fewer than 2 rows of train, so the vocabulary is not that of these records" in message
