import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.serving.examples import as_carried, feature_types, make_examples, parse_examples

ODD = [
    "",
    "5",
    "0.1",
    "-2.50",
    "007",
    "9223372036854775807",
    "9223372036854775808",
    "1e40",
    "1e-3",
    "abc",
    "a|b||c",
    "é",
]


@pytest.fixture
def schema(kinds):
    return kinds.vocabularies.schema


def example(**features) -> tf.Tensor:
    """One serialized tf.Example of lists; _ in a name is a space."""
    made = tf.train.Example()
    for name, values in features.items():
        feature = made.features.feature[name.replace("_column", " column")]
        if isinstance(values[0], int):
            feature.int64_list.value.extend(values)
        elif isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(values)
    return tf.constant([made.SerializeToString()])


def test_types(schema):
    assert set(feature_types(schema, "text").values()) == {tf.string}
    native = {name.removesuffix(" column"): dtype for name, dtype in feature_types(schema, "native").items()}
    assert [name for name, dtype in native.items() if dtype == tf.int64] == [
        "log_square", "log_of_square", "log1p_of_square", "price_bucket",
    ]  # fmt: skip
    assert [name for name, dtype in native.items() if dtype == tf.float32] == ["equal_frequency", "value", "log_value"]
    with pytest.raises(ValueError, match="numbers must be one of .*; received 'floats'"):
        feature_types(schema, "floats")


@pytest.mark.parametrize("numbers", ["text", "native"])
def test_text_comes_back_as_examples_carry_it(schema, numbers):
    columns = dict.fromkeys(schema.columns, ODD)
    parsed = parse_examples(tf.constant(make_examples(columns, schema, numbers)), schema, numbers)
    carried = as_carried(columns, schema, numbers)
    for column in schema.columns:
        found = [text.decode() for text in parsed[column].numpy()]
        assert found == carried[column], column
    assert carried["text column"] == ODD
    if numbers == "text":
        assert carried["value column"] == ODD
    else:
        # Text that is not a number is missing; a float32 becomes its shortest text.
        wanted = ["", "5", "", "", "7", "9223372036854775807", "", "", "", "", "", ""]
        assert carried["log_square column"] == wanted
        assert carried["value column"] == [
            "", "5", "0.1", "-2.5", "7", "9.223372e+18", "9.223372e+18", "", "0.001", "", "", "",
        ]  # fmt: skip


def test_floats_keep_the_digits_that_they_have(schema):
    values = np.random.default_rng(0).normal(size=500).astype(np.float32) * np.float32(10.0) ** np.arange(
        -20, 30
    ).repeat(10)
    values = np.concatenate([values, [0.7, 16777217, 1 / 3, np.inf]]).astype(np.float32)
    serialized = tf.concat([example(value_column=[float(v)]) for v in values], axis=0)
    text = parse_examples(serialized, schema, "native")["value column"].numpy()
    assert [np.float32(t) for t in text] == values.tolist()
    assert text[-4:].tolist() == [b"0.7", b"16777216", b"0.33333334", b"inf"]


def test_absent_features_are_missing(schema):
    for numbers in ("text", "native"):
        parsed = parse_examples(example(other=[b"x"]), schema, numbers)
        assert {text.numpy().tolist()[0] for text in parsed.values()} == {b""}
    assert parse_examples(example(value_column=[float("nan")]), schema, "native")["value column"][0] == b""


def test_lists_are_lists(schema):
    parsed = parse_examples(example(genres_column=[b"x", b"y"]), schema)
    assert parsed["genres column"].numpy().tolist() == [b"x|y"]


@pytest.mark.parametrize(
    "numbers, features, message",
    [
        ("text", {"text_column": [5]}, "Key: text column.*int64.*string"),
        ("text", {"value_column": [0.5]}, "Key: value column.*float.*string"),
        ("native", {"value_column": [b"0.5"]}, "Key: value column.*string.*float"),
        ("native", {"log_square_column": [0.5]}, "Key: log_square column.*float.*int64"),
        ("text", {"text_column": [b"a", b"b"]}, "Key: text column"),
        ("native", {"value_column": [0.5, 1.5]}, "Key: value column.*size: 2"),
    ],
)
def test_another_type_or_number_of_values_is_refused_by_name(schema, numbers, features, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        parse_examples(example(**features), schema, numbers)


def test_what_is_no_example_is_refused(schema):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Could not parse example input"):
        parse_examples(tf.constant([b"no example"]), schema)
