"""The graph's ids and values compared with preparation's, on text of every kind."""

import itertools
import random

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from odd_texts import ODD, made_up

from ada_ensemble_tf.inference.encoder import RawEncoder
from data_pipelines.fields.columns import coded
from data_pipelines.fields.declarations import TRANSFORMS, Input, RawFormat
from data_pipelines.fields.readings import Reading, read
from data_pipelines.fields.rules import TEXT_NEVER_A_LEVEL, split_values, to_levels
from data_pipelines.fields.vocabulary import Vocabularies

BOUNDARIES = (-1e300, -2.5, 0.0, 0.1, 3.0, 1e17, 9007199254740993.0)
INPUTS = (
    Input("words", "a"),
    Input("words again", "b"),
    Input("log_square", "a", "log_square"),
    Input("log_of_square", "b", "log_of_square"),
    Input("log1p_of_square", "a", "log1p_of_square"),
    Input("equal_frequency", "a", "equal_frequency", bins=8),
    Input("one_bin", "b", "equal_frequency", bins=8),
    Input("value", "a", "value"),
    Input("log_value", "a", "log_value"),
    Input("unseen_value", "b", "value"),
    Input("hour_of_day", "a", "hour_of_day", reading=Reading(time="iso8601")),
    Input("weekday", "a", "weekday", reading=Reading(time="YYMMDDHH")),
    Input("os_browser", "b", "os_browser"),
    Input("price_bucket", "a", "price_bucket"),
    Input("bars", "a", separator="|", max_values=4),
    Input("dots", "b", separator="..", max_values=3),
    Input("read bars", "a", separator="|", max_values=4, reading=Reading(("null", "c", "|a"), True)),
    Input("first", "a", separator="|", max_values=1),
    Input("unseen_bars", "a", separator="|", max_values=2),
    Input("unseen", "b"),
    Input("few buckets", "a", "hashed", buckets=7),
    Input("many buckets", "a", "hashed", buckets=1 << 29),
    Input("read buckets", "b", "hashed", buckets=1000, reading=Reading(("null", "c"), True)),
    Input("bucket bars", "b", "hashed", separator="|", max_values=4, buckets=100),
    Input("cross of bins", "", "hashed", buckets=1 << 28, crossed=("log_square", "equal_frequency", "os_browser")),
    Input("cross of texts", "", "hashed", buckets=1 << 28, crossed=("words", "read buckets")),
    Input("cross of a column", "", "hashed", buckets=99, crossed=("words", "few buckets")),
)
PARAMETERS = {
    "equal_frequency": tuple(sorted(BOUNDARIES)),
    "one_bin": (),
    "value": (1.25, 3.5),
    "log_value": (-0.5, 2.0),
    "unseen_value": (0.0, 1.0),
}
WIDTHS = {one.name: one.max_values for one in INPUTS if one.separator}


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    """10,000 rows of two columns."""
    rng = random.Random(7)
    column = ODD + [made_up(rng) for _ in range(10_000 - len(ODD))]
    return {"a": column, "b": rng.sample(column, len(column))}


@pytest.fixture(scope="module")
def prepared(texts, tmp_path_factory) -> tuple[Vocabularies, RawEncoder]:
    """Preparation's encoder and the graph's, with every other level of each field in the vocabularies."""
    known = {}
    for one in (one for one in INPUTS if not one.crossed):
        text = pl.Series(texts[one.column])
        found = split_values(read(text, one.reading), one.separator, one.reading).explode() if one.separator else None
        if found is None:
            found = to_levels(read(text, one.reading), one.transform, PARAMETERS.get(one.name, ()))
        found = found.unique().sort()
        found = found.filter(~found.str.contains(TEXT_NEVER_A_LEVEL))
        few = len(found) < 100
        known[one.name] = found.clear() if one.name.startswith("unseen") else found if few else found.gather_every(2)
    vocabularies = Vocabularies.from_levels(RawFormat("odd", "label"), INPUTS, known, PARAMETERS, WIDTHS, seed=5)
    folder = tmp_path_factory.mktemp("vocabularies")
    vocabularies.save(folder)
    return vocabularies, RawEncoder(vocabularies.schema, folder)


def in_graph(encoder, texts) -> dict[str, np.ndarray]:
    """The graph's encoding of columns of text or bytes."""
    tensors = {
        name: tf.constant([t.encode() if isinstance(t, str) else t for t in column], tf.string)
        for name, column in texts.items()
    }
    return {name: tensor.numpy() for name, tensor in tf.function(encoder.__call__, autograph=False)(tensors).items()}


def test_the_cases_are_what_they_should_be(texts):
    assert {one.transform for one in INPUTS} == set(TRANSFORMS)
    assert len(texts["a"]) == len(texts["b"]) == 10_000 and max(map(len, texts["a"])) >= 10_000


def test_agrees_with_preparation_on_10_000_odd_rows(prepared, texts):
    vocabularies, encoder = prepared
    schema, batch = vocabularies.schema, coded(texts)
    got, expected = in_graph(encoder, texts), vocabularies.encode(batch)
    assert got["ids"].dtype == np.int32 and got["ids"].shape == (10_000, sum(schema.widths))
    ends = np.cumsum(schema.widths)
    for field, start, end in zip(schema.fields, ends - schema.widths, ends, strict=True):
        wrong = np.flatnonzero((got["ids"][:, start:end] != expected[:, start:end]).any(axis=1))
        cases = [
            ([text[i][:50] for text in texts.values()], got["ids"][i, start:end], expected[i, start:end])
            for i in wrong[:5]
        ]
        assert len(wrong) == 0, f"{field.name}: {len(wrong)} rows, such as {cases}"
        assert len(np.unique(expected[:, start:end])) >= (1 if field.name.startswith("unseen") else 3), field.name
    values = vocabularies.values(batch)
    assert got["values"].dtype == np.float32 and len(np.unique(values)) > 1000
    np.testing.assert_allclose(got["values"], values, rtol=1e-6, atol=1e-6)
    assert np.isfinite(values).all() and (np.abs(values) == 10).any()


def test_no_bytes_fail_a_batch(prepared):
    vocabularies, encoder = prepared
    odd = [b"\xff", b"5\xff", b"\xff5", b"1410212\xff", b"2014-10-21 23\xff", b"2014-10-21 23:\xc3", b"a|\xff|\xc3"]
    odd += [
        b"\x80",
        b"\xff" * 10_000,
        b"Windows\xff Chrome",
        b"\xe6\x97",
        b"\xff\xfe\xe5\x65",
        b"\xed\xa0\x80",
        b"-\xff",
    ]
    ids = in_graph(encoder, {"a": odd, "b": odd})["ids"]
    columns = {field.name: i for i, field in enumerate(vocabularies.schema.fields[:14])}
    for name, column in columns.items():
        if name != "os_browser":
            assert (ids[:, column] == vocabularies.schema.fields[column].offset).all(), name
    field = vocabularies.schema.fields[columns["os_browser"]]
    found = vocabularies.levels["os_browser"].to_list().index("windows_chrome")
    assert ids[9, columns["os_browser"]] == field.offset + 1 + found


def test_every_odd_text_alone_and_no_rows(prepared):
    """In a batch of one, no other row can hide an op's error."""
    vocabularies, encoder = prepared
    encode = tf.function(
        encoder.__call__, input_signature=[dict.fromkeys("ab", tf.TensorSpec([None], tf.string))], autograph=False
    )
    for name, text in itertools.product("ab", ODD):
        batch = {"a": ["5"], "b": ["5"]} | {name: [text]}
        ids = encode({column: tf.constant([value[0].encode()]) for column, value in batch.items()})["ids"]
        np.testing.assert_array_equal(ids, vocabularies.encode(coded(batch)), err_msg=f"{name}: {text[:50]!r}")
    none = encode(dict.fromkeys("ab", tf.zeros([0], tf.string)))
    assert none["ids"].shape == (0, sum(vocabularies.schema.widths)) and none["values"].shape == (0, 3)


def test_ids_alone_where_no_field_has_a_value(tmp_path):
    inputs = (Input("word", "w"), Input("words", "w", separator=" ", max_values=3))
    known = {"word": pl.Series(["a b"]), "words": pl.Series(["a", ""])}
    vocabularies = Vocabularies.from_levels(RawFormat("odd", "label"), inputs, known, widths={"words": 3})
    vocabularies.save(tmp_path)
    ids = RawEncoder(vocabularies.schema, tmp_path)({"w": tf.constant(["a b", "", "b  a b a", "a"])})
    # word: 0 unknown, 1 "a b"; words: 2 unknown, 3 "a", 4 missing.
    assert ids.numpy().tolist() == [[1, 3, 2, -1], [0, 4, -1, -1], [0, 2, 3, 2], [0, 3, -1, -1]]
