import numpy as np

from ada_ensemble_tf.inference.raw_text import UNSEEN, random_ids, raw_text
from data_pipelines.fields.columns import coded
from data_pipelines.fields.schema import PADDING


def test_text_of_every_level_has_its_id_again(kinds):
    schema = kinds.vocabularies.schema
    size = max(field.size for field in schema.fields)
    parts = []
    for field in schema.fields:
        part = np.full((size, field.width), PADDING, np.int32)
        part[:, 0] = field.offset + np.arange(size) % field.size
        parts.append(part)
    ids = np.concatenate(parts, axis=1)
    ids[2, -2] = ids[0, -3] + 3
    values = np.random.default_rng(0).normal(size=(size, 2))
    columns = raw_text(kinds.vocabularies, ids, values)
    batch = coded(columns)
    np.testing.assert_array_equal(kinds.vocabularies.encode(batch), ids)
    starts = [field.offset + 1 for field in schema.fields if field.has_value]
    known = ids[:, [5, 6]] == starts
    assert known.any() and not known.all()
    np.testing.assert_allclose(kinds.vocabularies.values(batch), np.where(known, values, 0.0), atol=1e-6)
    assert columns["text column"][:4] == [UNSEEN, "a", "", "b c"]
    assert columns["log_square column"][4:6] == ["3", "21"] and columns["log_of_square column"][5] == "-13"
    assert columns["equal_frequency column"][2:5] == ["-1.5", "0.0", "7.25"]


def test_random_ids_are_of_their_fields(kinds):
    schema = kinds.vocabularies.schema
    ids, values = random_ids(schema, 200)
    assert ids.shape == (200, 14) and values.shape == (200, 2)
    assert (ids[:, :-2] >= 0).all() and (ids[:, -1] == PADDING).any() and (ids[:, -1] != PADDING).any()
    for i, field in enumerate(schema.fields):
        assert set(ids[:, i]) == set(range(field.offset, field.offset + field.size))
    # Padding comes last.
    assert not ((ids[:, -2] == PADDING) & (ids[:, -1] != PADDING)).any()
