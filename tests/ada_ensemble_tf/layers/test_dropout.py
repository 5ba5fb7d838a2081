import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.layers.dropout import make_dropout


def test_a_share_is_dropped_in_training():
    layer, ones = make_dropout(0.25), tf.ones([100, 100])
    dropped = layer(ones, training=True)
    # Kept values grow by 1 / (1 - 0.25).
    assert set(np.unique(dropped)) == {0.0, np.float32(4 / 3)}
    assert np.mean(dropped.numpy() == 0.0) == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(layer(ones), ones)


def test_nothing_to_drop_is_no_layer():
    assert make_dropout(0.0) is None


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_shares_out_of_range_are_refused(dropout):
    with pytest.raises(ValueError, match=rf"dropout must lie in \[0, 1\); received {dropout}"):
        make_dropout(dropout)
