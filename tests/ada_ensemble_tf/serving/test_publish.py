import json
import logging
import re
import sys

import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.models import LogisticRegression, model_inputs
from ada_ensemble_tf.serving import publish
from ada_ensemble_tf.serving.golden_rows import ODD_TEXTS, GoldenRows
from ada_ensemble_tf.serving.parity import difference
from ada_ensemble_tf.serving.publish import export
from ada_ensemble_tf.serving.tables import Storage
from data_pipelines import locks
from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError


@pytest.fixture
def model(kinds) -> LogisticRegression:
    schema = kinds.vocabularies.schema
    model = LogisticRegression(**model_inputs(schema))
    model.level_weights.table.assign(np.random.default_rng(1).normal(size=(schema.num_rows, 1)))
    return model


def test_versions_count_up_past_folders_that_are_none(model, kinds, tmp_path):
    for name in ("7", "8.incomplete", "notes"):
        (tmp_path / name).mkdir()
    assert export(model, kinds.vocabularies.schema, kinds.folder, tmp_path).name == "8"
    assert not (tmp_path / "8.incomplete").exists()


def test_two_exports_do_not_share_a_directory(model, kinds, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.1)
    with locks.alone_in(tmp_path, ""):
        with pytest.raises(UserError, match=f"^{tmp_path}: process .* at work here .* choose another --export_dir$"):
            export(model, kinds.vocabularies.schema, kinds.folder, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [locks.LOCK_FILE]


def test_a_full_disk_leaves_nothing(model, kinds, tmp_path, monkeypatch):
    def save(module, path, **_):
        raise tf.errors.UnknownError(None, None, f"{path}; No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(UserError, match="the disk is full; free some space or choose another --export_dir"):
        export(model, kinds.vocabularies.schema, kinds.folder, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_saved_model_with_other_scores_is_not_published(model, kinds, tmp_path, monkeypatch):
    save = tf.saved_model.save

    def other_weights(*arguments, **keywords):
        table = model.level_weights.table.numpy()
        model.level_weights.table.assign(table + 1e-3)
        save(*arguments, **keywords)
        model.level_weights.table.assign(table)

    monkeypatch.setattr(tf.saved_model, "save", other_weights)
    with pytest.raises(UserError, match=r"not published: signature \w+ gives golden row \d+ a ctr of .* above 0.0001"):
        export(model, kinds.vocabularies.schema, kinds.folder, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_there_are_no_warm_up_requests_and_one_message(model, kinds, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    with caplog.at_level(logging.WARNING, publish.__name__):
        folder = export(model, kinds.vocabularies.schema, kinds.folder, tmp_path)
    (message,) = [record.message for record in caplog.records if record.name == publish.__name__]
    assert message.startswith(
        "writing warm-up requests needs tensorflow-serving-api: pip install 'ada_ensemble_tf[serving]', or"
    )
    assert sorted(path.name for path in (folder / "assets.extra").iterdir()) == ["golden_rows.json"]
    assert "no warm-up requests" in (folder / "MODEL_CARD.md").read_text()


def test_what_storage_does_is_told_with_auc_before_and_after(kinds, tmp_path, caplog):
    schema = kinds.vocabularies.schema
    model = LogisticRegression(**model_inputs(schema))
    model.level_weights.table.assign(np.random.default_rng(1).normal(size=(schema.num_rows, 1)))
    random = np.random.default_rng(0)
    ids = np.stack([random.integers(f.offset, f.offset + f.size, 300) for f in schema.fields], axis=1).astype(np.int32)
    ids = np.concatenate([ids, np.full((300, 2), -1, np.int32)], axis=1)
    inputs = {"ids": tf.constant(ids), "values": tf.constant(random.normal(size=(300, 2)), tf.float32)}
    labels = tf.constant(random.integers(0, 2, 300), tf.float32)
    test = [(tf.nest.map_structure(lambda x, s=s: x[s], inputs), labels[s]) for s in (slice(0, 200), slice(200, 300))]
    before = metrics.auc(labels.numpy(), model(inputs).numpy())
    with caplog.at_level(logging.INFO, publish.__name__):
        folder = export(model, schema, kinds.folder, tmp_path, storage=Storage("bfloat16", True), test=test)
    after = metrics.auc(labels.numpy(), model(inputs).numpy())
    assert before != after and abs(before - after) < 0.01
    told = f"On 300 test rows: auc {before:.6f} before, {after:.6f} after, logloss"
    size = schema.num_rows * 4 + 4 + 8
    stored = (
        f"Embedding tables are stored as bfloat16: weights are {size - 2 * schema.num_rows:,} bytes, {size:,} before."
    )
    card = (folder / "MODEL_CARD.md").read_text()
    assert told in card and told in caplog.text and stored in card
    assert "0 of 0 rows of zeros were left out" in card


def test_the_card_tells_what_the_model_is(kinds, model, tmp_path):
    figures = {"auc": 0.75, "logloss": 0.4, "calibration": 1.01, "rows": 1234}
    training = {
        "test": figures, "validation": figures | {"auc": 0.76}, "parameters": 99, "flops_per_example": 12.0,
        "data_fingerprint": "0123456789abcdef", "best_step": 7, "versions": {"tensorflow": "2.0"},
    }  # fmt: skip
    schema = kinds.vocabularies.schema
    folder = export(model, schema, kinds.folder, tmp_path, training=training, config={"a": 1})
    card = (folder / "MODEL_CARD.md").read_text()
    for line in (
        "# logistic_regression, version 1", "| data fingerprint | 0123456789abcdef |",
        f"| schema fingerprint | {schema.fingerprint()} |", "| test | 1,234 | 0.75000 | 0.40000 | 1.01000 |",
        "| trained with | tensorflow 2.0 |", f"| exported with | tensorflow {tf.__version__}", "`regress`",
        "| hour_of_day | hour_of_day column | hour_of_day_column_fca67d | string | hour_of_day | 5 |",
        "out-of-vocabulary",
    ):  # fmt: skip
        assert line in card, line
    assert re.search(r"\| config hash \| [0-9a-f]{16} \|", card)


def test_golden_rows_are_the_given_ones_and_odd_ones(kinds, linear, mixture):
    for served in (linear, mixture):
        assert served.rows.real == publish.RANDOM_ROWS and len(served.rows.ctr) == publish.RANDOM_ROWS + len(ODD_TEXTS)
    assert {text[-1] for text in mixture.rows.columns.values()} == {"1e400"}
    # tf.Examples of numbers cannot hold it.
    assert linear.rows.columns["value_column_17a25d"][-1] == ""
    assert linear.rows.columns["text_column_51478a"][-1] == "1e400"


def test_a_damaged_file_of_golden_rows_is_told(linear, tmp_path):
    linear.rows.save(tmp_path)
    again, file = GoldenRows.load(tmp_path), tmp_path / "assets.extra" / "golden_rows.json"
    np.testing.assert_array_equal(again.ctr, linear.rows.ctr)
    assert again.examples == linear.rows.examples and again.columns == linear.rows.columns
    value = json.loads(file.read_text())
    del value["ctr"]
    file.write_text(json.dumps(value))
    with pytest.raises(UserError, match="golden_rows.json: damaged.*; export the model again"):
        GoldenRows.load(tmp_path)
    Checksums(tmp_path).add(["assets.extra/golden_rows.json"])
    with pytest.raises(UserError, match="golden_rows.json: key 'ctr' is missing; export the model again"):
        GoldenRows.load(tmp_path)


def test_difference_is_relative_and_infinite_for_nan():
    expected = np.array([0.5, 1e-3, 0.5, 1e-9])
    found = np.array([0.505, 1.1e-3, np.nan, 5e-8])
    np.testing.assert_allclose(difference(found, expected), [0.01, 0.1, np.inf, 0.0], rtol=1e-3)
