import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.optimizers import (
    GRDA,
    OPTIMIZERS,
    ClippedAdam,
    Ftrl,
    GroupFtrl,
    RowSparseOptimizer,
    make_optimizer,
)

ROW_SPARSE = sorted(name for name, kind in OPTIMIZERS.items() if issubclass(kind, RowSparseOptimizer))
V = 1013


def sgd(**clipping) -> GRDA:
    """Plain SGD with learning rate 1, so that w moves by the clipped gradient."""
    return GRDA(1.0, c=0.0, **clipping)


def repeated() -> tf.IndexedSlices:
    """Row 1 has (3, 0) in two parts, neither of them small; row 2 has (0, 4)."""
    return tf.IndexedSlices(tf.constant([[13.0, 0.0], [0.0, 4.0], [-10.0, 0.0]]), tf.constant([1, 2, 1]), (4, 2))


def moved(gradients, shapes, **clipping) -> list[list]:
    variables = [keras.Variable(np.zeros(shape, np.float32)) for shape in shapes]
    sgd(**clipping).apply(gradients, variables)
    return [(-v.numpy()).tolist() for v in variables]


def test_every_one_but_keras_adam_is_row_sparse():
    assert sorted(OPTIMIZERS) == sorted([*ROW_SPARSE, "adam"])


def test_a_norm_is_clipped_after_parts_are_summed():
    # The norm is 5, and 16.9 with the parts as they come.
    (w,) = moved([repeated()], [(4, 2)], clipnorm=2.5)
    np.testing.assert_allclose(w, [[0, 0], [1.5, 0], [0, 2], [0, 0]], rtol=1e-6)
    (w,) = moved([repeated()], [(4, 2)], clipnorm=5.5)
    np.testing.assert_allclose(w, [[0, 0], [3, 0], [0, 4], [0, 0]], rtol=1e-6)


def test_elements_are_clipped_after_parts_are_summed():
    (w,) = moved([repeated()], [(4, 2)], clipvalue=3.5)
    assert w == [[0, 0], [3, 0], [0, 3.5], [0, 0]]


def test_the_norm_of_all_gradients_is_clipped_after_parts_are_summed():
    # sqrt(5^2 + 12^2) is 13; 6.5 halves both.
    table, bias = moved([repeated(), tf.constant([12.0])], [(4, 2), (1,)], global_clipnorm=6.5)
    np.testing.assert_allclose(table, [[0, 0], [1.5, 0], [0, 2], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(bias, [6.0], rtol=1e-6)


@pytest.mark.parametrize("clipping", [{"clipnorm": 0.5}, {"clipvalue": 0.1}, {"global_clipnorm": 0.5}])
def test_dense_gradients_are_clipped_as_keras_does(clipping):
    gradients = [tf.random.stateless_normal(shape, [1, 2]) for shape in ([3, 2], [4])]
    ours, theirs = ([keras.Variable(tf.zeros_like(g)) for g in gradients] for _ in range(2))
    sgd(**clipping).apply(gradients, ours)
    keras.optimizers.SGD(1.0, **clipping).apply(gradients, theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("arguments", [{}, {"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {"clipvalue": 0.1}])
@pytest.mark.parametrize("name", [*ROW_SPARSE, "catch_up"])
def test_a_step_makes_no_tensor_as_long_as_the_table(name, arguments):
    if name == "catch_up":
        name, arguments = "sparse_adam", arguments | {"catch_up": True}
    optimizer, table = make_optimizer(name, **arguments), keras.Variable(np.ones((V, 3), np.float32))
    optimizer.build([table])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False)
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table.value, ids) ** 2)
        optimizer.apply([tape.gradient(loss, table.value)], [table])

    operations = step.get_concrete_function().graph.get_operations()
    assert sum(operation.type == "ResourceScatterUpdate" for operation in operations) == 1 + len(optimizer.slots(table))
    shapes = [output.shape for operation in operations for output in operation.outputs if output.dtype != tf.resource]
    assert not [shape for shape in shapes if shape.rank and V in shape.as_list()]


@pytest.mark.parametrize("name", ROW_SPARSE)
def test_sparse_and_dense_gradients_of_all_rows_are_one(name):
    optimizers = [make_optimizer(name), make_optimizer(name)]
    tables = [keras.Variable(np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)) for _ in optimizers]
    for seed in range(4):
        gradient, rows = tf.random.stateless_normal([5, 2], [seed, 1]), tf.constant([3, 1, 0, 2, 4])
        optimizers[0].apply([gradient], tables[:1])
        optimizers[1].apply([tf.IndexedSlices(tf.gather(gradient, rows), rows)], tables[1:])
    np.testing.assert_allclose(*tables, rtol=1e-6)


@pytest.mark.parametrize("name", ROW_SPARSE)
def test_in_mixed_precision_the_table_and_its_state_are_float32(name):
    layer = FusedEmbedding(6, 3, dtype="mixed_bfloat16")
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layer, keras.layers.Dense(1, dtype="mixed_bfloat16")])
    # The Dense layer's bias is not a matrix, so group FTRL refuses it.
    optimizer = make_optimizer(name)
    optimizer.build([layer.table])
    before = layer.table.numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(model(np.array([[0, 3], [3, 5]], np.int32)), tf.float32) ** 2)
    optimizer.apply([tape.gradient(loss, layer.table.value)], [layer.table])
    assert {v.dtype for v in (layer.table, *optimizer.slots(layer.table))} == {"float32"}
    changed = (layer.table.numpy() != before).any(axis=1)
    assert changed.tolist() == [True, False, False, True, False, True]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("weight_decay", 0.01),
        ("weight_decay", 0.0),
        ("ema_overwrite_frequency", 5),
        ("gradient_accumulation_steps", 2),
        ("loss_scale_factor", 8.0),
    ],
)
@pytest.mark.parametrize("name", ROW_SPARSE)
def test_what_would_walk_the_whole_table_is_refused(name, option, value):
    with pytest.raises(ValueError, match=f"only the rows of the batch.*{option}.*{value}.*leave them out"):
        make_optimizer(name, **{option: value})


def test_constraints_are_refused():
    table = keras.Variable(np.zeros((3, 2), np.float32), name="table")
    table.constraint = keras.constraints.NonNeg()
    with pytest.raises(ValueError, match="a constraint would apply to all rows at each step: table has"):
        Ftrl().build([table])


@pytest.mark.parametrize("option", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_clipping_must_be_positive(option):
    for kind in (GRDA, ClippedAdam):
        with pytest.raises(ValueError, match=f"{option} must be positive, or None for no clipping; received 0.0"):
            kind(**{option: 0.0})


def test_adam_clips_what_keras_adam_would_of_the_summed_gradient():
    """The first step of SGD shows the clipped gradient, that of Adam its sign: m and v are compared instead."""
    shapes = [(4, 2), (1,)]
    ours, theirs = ([keras.Variable(np.ones(shape, np.float32)) for shape in shapes] for _ in range(2))
    summed = tf.constant([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    clipping, keras_adam = ClippedAdam(0.1, global_clipnorm=6.5), keras.optimizers.Adam(0.1, global_clipnorm=6.5)
    for _ in range(3):
        clipping.apply([repeated(), tf.constant([12.0])], ours)
        keras_adam.apply([summed, tf.constant([12.0])], theirs)
    for one, other in zip(clipping.variables[2:], keras_adam.variables[2:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    np.testing.assert_allclose(clipping.variables[2].numpy()[1, 0], 1.5 * (1 - 0.9**3), rtol=1e-5)


def test_without_clipping_adam_is_keras_adam():
    ours, theirs = keras.Variable(np.ones((4, 2), np.float32)), keras.Variable(np.ones((4, 2), np.float32))
    optimizers = ClippedAdam(0.1), keras.optimizers.Adam(0.1)
    for seed in range(3):
        gradient = tf.random.stateless_normal([4, 2], [seed, 0])
        for optimizer, one in zip(optimizers, (ours, theirs), strict=True):
            optimizer.apply([gradient], [one])
    np.testing.assert_array_equal(ours, theirs)


def test_two_clippings_are_refused():
    with pytest.raises(ValueError, match="Only one of"):
        GRDA(clipnorm=1.0, clipvalue=1.0)


@pytest.mark.parametrize("name", ROW_SPARSE)
def test_clipping_is_in_the_config(name):
    optimizer = make_optimizer(name, global_clipnorm=2.0)
    loaded = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert loaded.get_config() == optimizer.get_config()
    assert loaded.global_clipnorm == 2.0 and "weight_decay" not in loaded.get_config()


def test_a_config_that_lists_the_refused_options_unset_is_read():
    # As in files that were saved with Keras' base class.
    unset = {"weight_decay": None, "use_ema": False, "ema_momentum": 0.99, "gradient_accumulation_steps": None}
    loaded = GroupFtrl.from_config(GroupFtrl(0.5).get_config() | unset | {"loss_scale_factor": None})
    assert float(loaded.learning_rate) == 0.5


@pytest.mark.parametrize("name", ROW_SPARSE)
def test_the_order_of_the_state_is_that_of_the_variables(name):
    optimizer = make_optimizer(name)
    first, second = (keras.Variable(np.ones((rows, 2), np.float32), name=f"table_{rows}") for rows in (2, 3))
    optimizer.build([first, second])
    expected = [*optimizer.slots(first), *optimizer.slots(second)]
    assert [id(v) for v in optimizer.variables[2:]] == [id(v) for v in expected]
    names = [
        name for table in ("table_2", "table_3") for name in (f"{table}_{s}" for s in optimizer.slot_initializers())
    ]
    assert [v.name for v in optimizer.variables] == ["iteration", "learning_rate", *names]
