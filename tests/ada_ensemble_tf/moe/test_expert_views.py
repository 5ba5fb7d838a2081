import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, random_weights, round_trip

from ada_ensemble_tf.moe import SparseMoE
from ada_ensemble_tf.moe.expert_views import LinearViews

FIELDS, WIDTH, EXPERTS = 3, 6, ("dense", "cross")
X0 = np.random.default_rng(0).normal(size=(9, WIDTH)).astype(np.float32)


def test_linear_views_by_numpy():
    layer = LinearViews(2, FIELDS)
    layer.build((None, WIDTH))
    np.testing.assert_array_equal(layer(X0), np.concatenate([X0, X0], axis=1))
    random_weights(layer)
    fields, kernel = X0.reshape(9, FIELDS, 2), layer.kernel.numpy()
    expected = [[fields[:, f] @ (np.eye(2) + kernel[j, f]) for f in range(FIELDS)] for j in range(2)]
    np.testing.assert_allclose(layer(X0), np.transpose(expected, [2, 0, 1, 3]).reshape(9, 12), rtol=1e-5, atol=1e-6)
    assert layer.flops() == 2 * 2 * FIELDS * 2 * 2
    check_gradients(layer, X0, step=0.5, rtol=1e-4, atol=1e-4)
    check_zero_rows(layer, X0)
    before, after = round_trip(layer, X0)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("options", [{}, {"normalization": "pre"}, {"expert_normalization": "input"}])
@pytest.mark.parametrize("views", ["x0", "all"])
def test_each_expert_reads_its_own_view(views, options):
    """With views all alike, a layer gives what it gives without; a change of one view reaches its expert only."""
    x = tf.constant(X0) if views == "all" else tf.random.stateless_normal([9, WIDTH], [5, 5])
    plain = SparseMoE(EXPERTS, FIELDS, **{"normalization": "none"} | options)
    plain.build(X0.shape, X0.shape)
    expected, _, cost = plain(X0, x, k=2)
    for dispatcher in ("sparse", "dense"):
        layer = SparseMoE(EXPERTS, FIELDS, dispatcher=dispatcher, views=views, **{"normalization": "none"} | options)
        layer.build((None, 3 * WIDTH), X0.shape)
        for part, own in zip((plain.gate, *plain.experts), (layer.gate, *layer.experts), strict=True):
            for weight, value in zip(own.weights, part.get_weights(), strict=True):
                weight.assign(value)
        output, _, flops = layer(np.tile(X0, 3), x, k=2)
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
        assert float(flops) == float(cost)
        # The second expert's x0 is doubled: its output, x0 * (W x + b), changes; the first, which reads x, does not.
        doubled = np.concatenate([X0, X0, 2.0 * X0], axis=1)
        before, after = layer.expert_outputs(np.tile(X0, 3), x), layer.expert_outputs(doubled, x)
        np.testing.assert_array_equal(before[0], after[0])
        assert np.abs(after[1] - before[1]).max() > 0.1


def test_wrong_views():
    with pytest.raises(ValueError, match="views must be 'none', 'x0' or 'all'; received 'own'"):
        SparseMoE(EXPERTS, FIELDS, views="own")
