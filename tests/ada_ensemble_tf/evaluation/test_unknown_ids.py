"""Fields that were known in training and are unknown in the scored rows give a warning."""

import numpy as np
import pytest

from ada_ensemble_tf.evaluation.unknown_ids import FILE, UnknownFields, training_shares
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.schema import PADDING, Field, Schema
from data_pipelines.json_files import save_json

FIELDS = (
    Field("known", "text", 4, 0),
    Field("rare", "text", 5, 4),
    Field("tags", "text", 3, 9, separator="|", width=2),
    Field("none", "text", 1, 12),
)
SCHEMA = Schema(RawFormat("madeup", "label"), FIELDS)
TRAINING = np.array([[1, 4, 10, 11, 12], [2, 4, 11, PADDING, 12], [3, 5, 10, 10, 12], [0, 4, 9, PADDING, 12]])


def test_shares_of_training_by_hand():
    batches = [(TRAINING[:3], None), (TRAINING[3:], None)]
    expected = {"known": 1 / 4, "rare": 3 / 4, "tags": 1 / 6, "none": 1.0, "all": 9 / 18}
    assert training_shares(SCHEMA, batches) == pytest.approx(expected)


def _told(tmp_path, caplog, rows):
    caplog.clear()
    unknown = UnknownFields(SCHEMA, tmp_path)
    assert [len(inputs) for inputs, _ in unknown.watching([(rows, None), (rows[:1], None)])] == [len(rows), 1]
    unknown.warn()
    return [record.getMessage() for record in caplog.records]


def test_fields_that_became_unknown_are_told(tmp_path, caplog):
    save_json(tmp_path / FILE, training_shares(SCHEMA, [(TRAINING, None)]))
    unseen = np.tile([[0, 4, 9, 9, 12]], (29, 1))
    line = "field {}: 100.0 % of its {} values are out of vocabulary, {} % in training; is its column written as it {}?"
    known, tags = line.format("known", 30, "25.0", "was in training"), line.format("tags", 60, 16.7, "was in training")
    assert _told(tmp_path, caplog, unseen) == [known, tags]
    # The first field has too few values.
    assert _told(tmp_path, caplog, unseen[:18]) == [tags.replace("60", "38")]
    assert _told(tmp_path, caplog, np.repeat(TRAINING, 10, axis=0)) == []


def test_a_training_directory_without_shares(tmp_path, caplog):
    (known, rare, tags) = _told(tmp_path, caplog, np.tile([[0, 4, 9, 9, 12]], (40, 1)))
    assert known.startswith("field known: 100.0 % of its 41 values are out of vocabulary, not so in training")
    assert rare.startswith("field rare") and tags.startswith("field tags")
