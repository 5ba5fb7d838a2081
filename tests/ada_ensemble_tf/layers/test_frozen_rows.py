"""Rows of an embedding that training leaves as they are."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import config_round_trip

from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.optimizers import OPTIMIZERS, leaves_rows, make_optimizer

IDS = np.array([[0, 3, 4, -1], [2, 5, 3, 5], [0, 5, 1, -1]], np.int32)
FROZEN = np.array([5, 1, 3], np.int32)
WIDTHS = (1, 1, 2)


def _layer(widths=WIDTHS, frozen=FROZEN):
    layer = FusedEmbedding(6, 2, widths=widths, frozen_rows=len(frozen))
    layer.build((None, sum(widths)))
    layer.table.assign(np.random.default_rng(1).normal(size=(6, 2)))
    layer.freeze(frozen)
    return layer


def _gradient(layer, ids):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(tf.constant(ids))) * tf.range(1.0, 7.0))
    return tape.gradient(loss, layer.table.value)


@pytest.mark.parametrize(("widths", "ids"), [(WIDTHS, IDS), ((1, 1, 1), np.abs(IDS[:, :3]))])
def test_only_other_rows_get_a_gradient_and_values_are_as_ever(widths, ids):
    layer, plain = _layer(widths), _layer(widths, FROZEN[:0])
    np.testing.assert_array_equal(layer(tf.constant(ids)), plain(tf.constant(ids)))
    gradient, whole = _gradient(layer, ids), tf.convert_to_tensor(_gradient(plain, ids)).numpy()
    assert isinstance(gradient, tf.IndexedSlices)
    used = set(ids[ids >= 0].tolist())
    assert set(gradient.indices.numpy().tolist()) == used - set(FROZEN.tolist())
    whole[FROZEN] = 0.0
    np.testing.assert_allclose(tf.convert_to_tensor(gradient), whole, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_no_optimiser_moves_a_frozen_row(name):
    layer, arguments = _layer(), {"catch_up": True} if name == "sparse_adam" else {}
    optimizer = make_optimizer(name, learning_rate=0.1, **arguments)
    optimizer.build([layer.table])
    before = layer.table.numpy().copy()
    for ids in (IDS, IDS[:1], np.array([[5, 3, 1, 1]], np.int32), IDS):
        optimizer.apply([_gradient(layer, ids)], [layer.table])
    if hasattr(optimizer, "bring_up_to_date"):
        optimizer.bring_up_to_date(layer.table)
    np.testing.assert_array_equal(layer.table.numpy()[FROZEN], before[FROZEN])
    others = np.setdiff1d(np.arange(6), FROZEN)
    assert (layer.table.numpy()[others] != before[others]).any(axis=1).all()


def test_optimisers_that_walk_all_rows_are_told_apart():
    found = [make_optimizer(name) for name in OPTIMIZERS]
    found += [keras.optimizers.Adam(), keras.optimizers.Adam(weight_decay=0.1), keras.optimizers.Adam(use_ema=True)]
    found += [keras.optimizers.AdamW(), keras.optimizers.Ftrl()]
    assert [leaves_rows(one) for one in found] == [True] * (len(OPTIMIZERS) + 1) + [False] * 4


def test_a_file_remembers_which_rows_are_frozen(tmp_path):
    layer = _layer()
    assert config_round_trip(layer).frozen_rows == 3
    model = keras.Sequential([keras.Input((4,), dtype="int32"), layer])
    model.save(tmp_path / "m.keras")
    read = keras.saving.load_model(tmp_path / "m.keras").layers[0]
    assert read.frozen.numpy().tolist() == [1, 3, 5] and not read.frozen.trainable
    assert [v.path.split("/")[-1] for v in read.trainable_variables] == ["table"]


def test_numbers_of_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"frozen_rows must lie in \[0, num_rows=6\]; received 7"):
        FusedEmbedding(6, 2, frozen_rows=7)
    for rows in ([1, 2], [1, 2, 2]):
        with pytest.raises(ValueError, match="rows must be frozen_rows=3 different rows; received"):
            _layer().freeze(np.array(rows))
