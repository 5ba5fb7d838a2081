import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, float64_layers, round_trip

from ada_ensemble_tf.layers.embedding import FusedEmbedding

IDS = np.array([[0, 3, 1], [2, 2, 0]], np.int32)
MIXED = {"num_rows": 9, "dimension": 2, "widths": [1, 3, 1, 2, 1], "value_rows": [(4, 8), (0, 1)]}
"""Fields: a value in rows 0 to 2, three columns in 2 to 5, one, two columns in 5 to 7, a value in 7 and 8."""
MIXED_IDS = np.array([[1, 2, -1, -1, 5, 5, 6, 8], [2, 4, 3, 4, 5, 6, -1, 7], [0, 5, 2, -1, 5, 7, 7, 8]], np.int32)
MIXED_VALUES = np.array([[0.5, -2.0], [3.0, 7.0], [-1.5, 4.0]], np.float32)


class ByName:
    """A layer of {"ids", "values"} as one of two arguments, as the checks call it."""

    def __init__(self, layer: FusedEmbedding):
        self.layer = layer

    def __call__(self, ids, values):
        return self.layer({"ids": ids, "values": values})

    @property
    def trainable_variables(self):
        return self.layer.trainable_variables


def mixed_embedding(**arguments) -> FusedEmbedding:
    layer = FusedEmbedding(**MIXED | arguments)
    layer.build({"ids": (None, 8), "values": (None, 2)})
    layer.table.assign(np.random.default_rng(4).normal(size=layer.table.shape))
    return layer


def dense_twin(table, ids, values, widths, value_rows) -> np.ndarray:
    """The same by loops in NumPy."""
    output = []
    for row, floats in zip(ids, values, strict=True):
        parts = np.split(row, np.cumsum(widths)[:-1])
        fields = [table[part[part >= 0]].mean(axis=0) for part in parts]
        for (field, known), value in zip(value_rows, floats, strict=True):
            fields[field] = fields[field] * (value if parts[field][0] == known else 1.0)
        output.append(np.concatenate(fields))
    return np.array(output)


def numbered_embedding() -> FusedEmbedding:
    """4 rows of 2: [0, 1], [10, 11], [20, 21], [30, 31]."""
    layer = FusedEmbedding(4, 2)
    layer.build((None, 3))
    layer.table.assign([[0, 1], [10, 11], [20, 21], [30, 31]])
    return layer


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_rows_are_looked_up_and_flattened_in_the_order_of_fields(dtype):
    output = numbered_embedding()(tf.constant(IDS, dtype))
    assert output.dtype == tf.float32
    assert output.numpy().tolist() == [[0, 1, 30, 31, 10, 11], [20, 21, 20, 21, 0, 1]]


def test_gradient_is_the_batch_rows_only():
    layer = numbered_embedding()
    weighting = tf.constant([[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]], tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weighting * layer(tf.constant(IDS)))
    gradient = tape.gradient(loss, layer.table.value)
    assert isinstance(gradient, tf.IndexedSlices)
    assert gradient.indices.numpy().tolist() == [0, 3, 1, 2, 2, 0]
    assert gradient.values.numpy().tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12]]
    # Row 0 came up for the first field of row 0 and the last of row 1, row 2 twice in row 1.
    dense = tf.convert_to_tensor(gradient).numpy()
    assert dense.tolist() == [[1 + 11, 2 + 12], [5, 6], [7 + 9, 8 + 10], [3, 4]]


def test_initial_values_have_the_asked_for_scale():
    keras.utils.set_random_seed(0)
    layer = FusedEmbedding(500, 16, initial_scale=0.3)
    layer.build((None, 2))
    table = layer.table.numpy()
    # 8,000 values: the standard error of the deviation is 0.8 %, of the mean 0.0034.
    assert table.std() == pytest.approx(0.3, rel=0.03)
    assert table.mean() == pytest.approx(0.0, abs=0.012)


def test_no_rows():
    check_zero_rows(numbered_embedding(), IDS)


def test_saved_and_loaded():
    before, after = round_trip(FusedEmbedding(4, 3, name="embedding"), IDS)
    assert before.shape == (2, 9)
    np.testing.assert_array_equal(before, after)


def test_config_round_trip():
    loaded = config_round_trip(FusedEmbedding(7, 3, initial_scale=0.5))
    assert (loaded.num_rows, loaded.dimension, loaded.initial_scale) == (7, 3, 0.5)


def test_several_values_are_the_mean_of_the_valid_ones():
    layer = FusedEmbedding(4, 2, widths=[1, 3])
    layer.build((None, 4))
    layer.table.assign([[0, 1], [10, 11], [20, 21], [30, 31]])
    output = layer(tf.constant([[0, 3, -1, -1], [1, 2, 3, -1], [2, 1, 1, 0]]))
    expected = [[0, 1, 30, 31], [10, 11, 25, 26], [20, 21, 20 / 3, 23 / 3]]
    np.testing.assert_allclose(output, expected, rtol=1e-6)


def test_a_value_multiplies_the_row_of_read_values_alone():
    layer = FusedEmbedding(6, 2, value_rows=[(1, 3)])
    layer.build({"ids": (None, 2), "values": (None, 1)})
    layer.table.assign([[0, 1], [10, 11], [20, 21], [30, 31], [40, 41], [50, 51]])
    # Read, read, missing, out of vocabulary; preparation gives 0 to the last two.
    ids, values = tf.constant([[1, 3], [0, 3], [1, 4], [1, 2]]), tf.constant([[-0.5], [2.0], [0.0], [0.0]])
    output = layer({"ids": ids, "values": values})
    assert output.numpy().tolist() == [[10, 11, -15, -15.5], [0, 1, 60, 62], [10, 11, 40, 41], [10, 11, 20, 21]]


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_equals_the_dense_twin(dtype):
    rng = np.random.default_rng(0)
    widths, value_rows = [1, 4, 1, 1, 3, 1], [(3, 6), (0, 1), (5, 11)]
    ids = rng.integers(0, 12, (200, sum(widths)))
    for start, width in ((1, 4), (7, 3)):
        used = rng.integers(1, width + 1, (200, 1))
        ids[:, start : start + width][np.arange(width) >= used] = -1
    # Half of the value fields' ids say that a value was read.
    for column, (_, row) in zip((6, 0, 10), value_rows, strict=True):
        ids[::2, column] = row
    values = rng.normal(size=(200, 3)).astype(np.float32)
    layer = FusedEmbedding(12, 5, widths=widths, value_rows=value_rows)
    layer.build({"ids": (None, 11), "values": (None, 3)})
    table = rng.normal(size=(12, 5))
    layer.table.assign(table)
    output = layer({"ids": tf.constant(ids, dtype), "values": tf.constant(values)})
    np.testing.assert_allclose(output, dense_twin(table, ids, values, widths, value_rows), rtol=1e-5, atol=1e-6)


def operations(layer, specs) -> list[str]:
    return [
        op.type for op in tf.function(layer.call, autograph=False).get_concrete_function(specs).graph.get_operations()
    ]


@pytest.mark.parametrize("widths", [None, [1, 1, 1]])
def test_one_column_a_field_is_one_gather(widths):
    layer = FusedEmbedding(4, 2, widths=widths)
    layer.build((None, 3))
    types = operations(layer, tf.TensorSpec([None, 3], tf.int32))
    assert types.count("ResourceGather") == 1
    assert not {"Where", "SegmentMean", "SegmentMeanV2", "Mul", "RealDiv"} & set(types)


def test_padding_gives_no_row_a_gradient():
    layer = mixed_embedding()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer({"ids": tf.constant(MIXED_IDS), "values": tf.constant(MIXED_VALUES)}))
    gradient = tape.gradient(loss, layer.table.value)
    assert isinstance(gradient, tf.IndexedSlices)
    assert gradient.indices.numpy().tolist() == MIXED_IDS[MIXED_IDS >= 0].tolist()
    # By hand: 1 over the number of values, or the float if a value was read.
    by_hand = [-2, 1, 1, 1 / 2, 1 / 2, 0.5, 1, 1 / 3, 1 / 3, 1 / 3, 1, 1, 1, 1, 1 / 2, 1 / 2, 1, 1 / 2, 1 / 2, -1.5]
    np.testing.assert_allclose(gradient.values, np.tile(np.array(by_hand)[:, None], 2), rtol=1e-6)


def test_gradients_agree_with_differences():
    with float64_layers():
        layer = mixed_embedding()
    # Also with respect to the values.
    check_gradients(ByName(layer), MIXED_IDS, MIXED_VALUES.astype(np.float64))


def test_no_rows_of_several_values_and_floats():
    check_zero_rows(ByName(mixed_embedding()), MIXED_IDS, MIXED_VALUES)


def test_several_values_and_floats_saved_and_loaded():
    before, after = round_trip(ByName(FusedEmbedding(**MIXED, name="embedding")), MIXED_IDS, MIXED_VALUES)
    assert before.shape == (3, 10)
    np.testing.assert_array_equal(before, after)
    loaded = config_round_trip(mixed_embedding())
    assert loaded.widths == (1, 3, 1, 2, 1) and loaded.value_rows == ((4, 8), (0, 1))
    config = json.loads(json.dumps(mixed_embedding(widths=np.array(MIXED["widths"])).get_config()))
    assert config["widths"] == [1, 3, 1, 2, 1] and config["value_rows"] == [[4, 8], [0, 1]]


def test_mixed_precision_reads_the_float32_table_in_place():
    layer = mixed_embedding(dtype="mixed_bfloat16")
    with tf.GradientTape() as tape:
        output = layer({"ids": tf.constant(MIXED_IDS), "values": tf.constant(MIXED_VALUES)})
        loss = tf.reduce_sum(tf.cast(output, tf.float32))
    assert output.dtype == tf.bfloat16
    gradient = tape.gradient(loss, layer.table.value)
    assert isinstance(gradient, tf.IndexedSlices) and gradient.dtype == tf.float32
    exact = mixed_embedding()({"ids": tf.constant(MIXED_IDS), "values": tf.constant(MIXED_VALUES)})
    np.testing.assert_array_equal(output, tf.cast(exact, tf.bfloat16))


@pytest.mark.parametrize("ids", [np.zeros((2, 3), np.float32), np.zeros((4,), np.int32), np.zeros((2, 4), np.int32)])
def test_ids_that_are_no_matrix_of_integers_are_refused(ids):
    layer = numbered_embedding()
    with pytest.raises(ValueError, match=r"ids must be a \[B, 3\] matrix of integers; received .*32 \("):
        layer(tf.constant(ids))


@pytest.mark.parametrize(
    "inputs",
    [
        MIXED_IDS,
        {"ids": MIXED_IDS},
        {"ids": MIXED_IDS, "values": MIXED_VALUES[:, :1]},
        {"ids": MIXED_IDS, "values": MIXED_VALUES.astype(np.int32)},
        {"ids": MIXED_IDS[:, 1:], "values": MIXED_VALUES},
        {"ids": MIXED_IDS, "values": MIXED_VALUES, "more": MIXED_VALUES},
    ],
)
def test_inputs_of_another_form_are_refused(inputs):
    form = r'inputs must be {"ids", "values"}: ids must be a \[B, 8\] matrix of integers, values a \[B, 2\]'
    with pytest.raises(ValueError, match=rf"{form} matrix of floats; received .*int32"):
        mixed_embedding()(tf.nest.map_structure(tf.constant, inputs))


def test_values_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match=r"ids must be a \[B, 3\] matrix of integers; received {'ids'"):
        numbered_embedding()({"ids": tf.constant(IDS), "values": tf.zeros([2, 1])})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"widths": [1, 0]}, "widths must be positive numbers of columns"),
        ({"widths": [1, 3]}, r"ids must have sum\(widths\) = 4 columns; received 8"),
        ({"value_rows": [(1, 3)]}, "value_rows must be pairs .*below 5, row below 9.* received"),
        ({"value_rows": [(5, 3)]}, "value_rows must be pairs"),
        ({"value_rows": [(0, 9)]}, "value_rows must be pairs"),
        ({"value_rows": [(0, 1), (0, 2)]}, "value_rows must be pairs .* each field once"),
    ],
)
def test_widths_and_value_rows_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        mixed_embedding(**arguments)


@pytest.mark.parametrize("sizes", [(0, 2), (4, 0), (-1, 2)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match="num_rows and dimension must be positive"):
        FusedEmbedding(*sizes)
