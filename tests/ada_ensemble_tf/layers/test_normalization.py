import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, random_weights, round_trip

from ada_ensemble_tf.layers.normalization import RoutedBatchNormalization, frozen_statistics, make_normalization

WIDTH = 4


def batch(rows: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(2.0, 3.0, (rows, WIDTH)).astype(np.float32)


def built(momentum: float = 0.9, epsilon: float = 1e-2) -> RoutedBatchNormalization:
    """A layer with random scale, offset and moving statistics."""
    layer = RoutedBatchNormalization(momentum, epsilon)
    layer.build((None, WIDTH))
    random_weights(layer)
    return layer


def statistics(layer: keras.layers.Layer) -> tuple[np.ndarray, np.ndarray]:
    return layer.moving_mean.numpy(), layer.moving_variance.numpy()


def run(layer: keras.layers.Layer, x: np.ndarray, training: bool) -> list[np.ndarray]:
    """The output, and the gradients of its weighted sum with respect to x, gamma and beta."""
    x = tf.constant(x)
    weighting = tf.random.stateless_normal(tf.shape(x), (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x, training=training)
        loss = tf.reduce_sum(output * weighting)
    sources = [x, layer.gamma.value, layer.beta.value]
    return [t.numpy() for t in [output, *tape.gradient(loss, sources)]]


@pytest.mark.parametrize("rows", [2, 3, 50])
def test_equals_keras_batch_normalization_for_two_rows_or_more(rows):
    ours = built(momentum=0.8, epsilon=1e-3)
    theirs = keras.layers.BatchNormalization(momentum=0.8, epsilon=1e-3)
    theirs.build((None, WIDTH))
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        getattr(theirs, name).assign(getattr(ours, name))
    for step in range(4):
        for training in (True, False):
            x = batch(rows, seed=step)
            for mine, other in zip(run(ours, x, training), run(theirs, x, training), strict=True):
                np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)
            for mine, other in zip(statistics(ours), statistics(theirs), strict=True):
                np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_starts_as_keras_batch_normalization_of_its_momentum_does():
    ours = RoutedBatchNormalization()
    theirs = keras.layers.BatchNormalization(momentum=ours.momentum)
    assert ours.epsilon == theirs.epsilon
    x = batch(5)
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_training_statistics_by_hand():
    layer = RoutedBatchNormalization(momentum=0.75, epsilon=0.0)
    x = np.array([[1.0], [3.0]], np.float32)
    # Mean 2 and (biased) variance 1 of the batch.
    assert layer(x, training=True).numpy().ravel().tolist() == pytest.approx([-1, 1])
    assert layer.moving_mean.numpy().tolist() == pytest.approx([0.25 * 2])
    assert layer.moving_variance.numpy().tolist() == pytest.approx([0.75 * 1 + 0.25 * 1])


def test_one_row_is_normalised_by_the_moving_statistics_and_leaves_them():
    layer = built()
    mean, variance = statistics(layer)
    x = batch(1)
    expected = layer.gamma.numpy() * (x - mean) / np.sqrt(variance + 1e-2) + layer.beta.numpy()
    np.testing.assert_allclose(layer(x, training=True), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, mean)
    np.testing.assert_array_equal(layer.moving_variance, variance)


def test_one_row_has_the_gradients_of_constant_statistics():
    layer = built()
    mean, variance = statistics(layer)
    x = batch(1)
    weighting = tf.random.stateless_normal((1, WIDTH), (1, 2)).numpy()
    _, by_x, by_gamma, by_beta = run(layer, x, training=True)
    scale = 1 / np.sqrt(variance + 1e-2)
    np.testing.assert_allclose(by_x, weighting * layer.gamma.numpy() * scale, rtol=1e-4)
    np.testing.assert_allclose(by_gamma, (weighting * (x - mean) * scale)[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_beta, weighting[0], rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_no_rows(training):
    check_zero_rows(built(), batch(2), training=training)


def test_no_rows_leave_the_moving_statistics():
    layer = built()
    before = statistics(layer)
    output, *gradients = run(layer, batch(0), training=True)
    assert output.shape == (0, WIDTH)
    assert all((gradient == 0).all() for gradient in gradients)
    for old, new in zip(before, statistics(layer), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("graph", [False, True])
def test_rows_after_few_rows_are_normalised_as_usual(graph):
    """Batches of 0, 1 and 5 rows through one layer, in a graph through one trace."""
    layer, reference = built(), built()

    def call(x):
        return layer(x, training=True)

    if graph:
        call = tf.function(call, input_signature=[tf.TensorSpec([None, WIDTH])], autograph=False)
    for rows in (0, 1, 5):
        output = call(tf.constant(batch(rows)))
    np.testing.assert_allclose(output, reference(batch(5), training=True), rtol=1e-5)
    for mine, expected in zip(statistics(layer), statistics(reference), strict=True):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_gradients_agree_with_differences(rows, training):
    layer = built(epsilon=0.5)
    with frozen_statistics():
        check_gradients(layer, batch(rows), training=training, step=1e-2, rtol=5e-3, atol=5e-3)


def test_frozen_statistics_leave_the_moving_statistics_only():
    layer, other = built(), built()
    before = statistics(layer)
    with frozen_statistics():
        output = layer(batch(6), training=True)
    for old, new in zip(before, statistics(layer), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(output, other(batch(6), training=True))


def test_statistics_thaw_after_the_block_even_after_an_error():
    layer = built()
    before = statistics(layer)
    with pytest.raises(RuntimeError), frozen_statistics():
        with frozen_statistics():
            pass
        layer(batch(6), training=True)
        np.testing.assert_array_equal(layer.moving_mean, before[0])
        raise RuntimeError
    layer(batch(6), training=True)
    assert (layer.moving_mean.numpy() != before[0]).all()
    assert (layer.moving_variance.numpy() != before[1]).all()


def test_saved_and_loaded_with_its_statistics():
    layer = built(momentum=0.5, epsilon=1e-4)
    before, after = round_trip(layer, batch(3))
    np.testing.assert_array_equal(before, after)
    loaded = config_round_trip(layer)
    assert (loaded.momentum, loaded.epsilon) == (0.5, 1e-4)


def test_statistics_are_not_trainable():
    layer = built()
    assert [v.name for v in layer.trainable_variables] == ["gamma", "beta"]


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_momentum_outside_its_range_is_refused(momentum):
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\)"):
        RoutedBatchNormalization(momentum)


def test_make_normalization_makes_each_kind():
    x = np.array([[1, 3], [5, 5]], np.float32)
    batch_layer = make_normalization("batch", "n")
    assert isinstance(batch_layer, RoutedBatchNormalization) and batch_layer.name == "n"
    # Over the two values of a row: (1, 3) has mean 2 and deviation 1, (5, 5) deviation 0.
    by_row = make_normalization("layer", "n")(x)
    np.testing.assert_allclose(by_row, [[-1, 1], [0, 0]], atol=1e-4)
    assert make_normalization("none", "n")(x).numpy().tolist() == x.tolist()


def test_make_normalization_refuses_other_names():
    with pytest.raises(ValueError, match="must be 'batch', 'layer' or 'none'; received 'group'"):
        make_normalization("group", "n")


def test_only_counted_rows_make_the_statistics():
    x = tf.constant([[1.0], [5.0], [100.0]])
    layer = RoutedBatchNormalization(momentum=0.0, epsilon=0.0, affine=False)
    normal = layer(x, training=True, counted=tf.constant([True, True, False]))
    np.testing.assert_allclose(normal, [[-1.0], [1.0], [48.5]])
    np.testing.assert_allclose([layer.moving_mean[0], layer.moving_variance[0]], [3.0, 4.0])
    assert layer.trainable_variables == []
    # One row has no variance: the moving statistics stay.
    np.testing.assert_allclose(layer(x, training=True, counted=tf.constant([False, True, False])), [[-1], [1], [48.5]])
    np.testing.assert_allclose(layer.moving_variance[0], 4.0)
