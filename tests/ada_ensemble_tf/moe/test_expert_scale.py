import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.moe import SparseMoE
from ada_ensemble_tf.moe.expert_scale import ExpertScale

GATES = tf.constant([[0.75, 0.25, 0.0], [0.0, 0.0, 1.0], [0.5, 0.25, 0.25]])


@pytest.mark.parametrize(
    "kind, weights",
    [
        ("none", [[0.75, 0.25, 0.0], [0.0, 0.0, 1.0], [0.5, 0.25, 0.25]]),
        ("k", [[1.5, 0.5, 0.0], [0.0, 0.0, 1.0], [1.5, 0.75, 0.75]]),
        (
            "sqrt_k",
            [[0.75 * 2**0.5, 0.25 * 2**0.5, 0.0], [0.0, 0.0, 1.0], [0.5 * 3**0.5, 0.25 * 3**0.5, 0.25 * 3**0.5]],
        ),
        ("unweighted", [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]),
        ("learned", [[0.075, 0.025, 0.0], [0.0, 0.0, 0.1], [0.05, 0.025, 0.025]]),
    ],
)
def test_weights_by_hand(kind, weights):
    np.testing.assert_allclose(ExpertScale(3, kind)(GATES), weights, rtol=1e-6)
    assert ExpertScale(3, kind)(GATES[:0]).shape == (0, 3)


def test_gradients_by_hand():
    layer = ExpertScale(3, "learned")
    layer.build((None, 3))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(GATES)
        learned, times_k, unweighted = (tf.reduce_sum(one(GATES)) for one in (layer, *map(scale, ("k", "unweighted"))))
    np.testing.assert_allclose(tape.gradient(learned, layer.factors.value), [1.25, 0.5, 1.25])
    # K is a count: it has no gradient of its own.
    np.testing.assert_allclose(tape.gradient(times_k, GATES), [[2.0] * 3, [1.0] * 3, [3.0] * 3])
    assert tape.gradient(unweighted, GATES) is None


def scale(kind: str) -> ExpertScale:
    return ExpertScale(3, kind)


def test_a_layer_sums_by_these_weights():
    fields, width = 3, 6
    x0, x = tf.random.stateless_normal([2, 9, width], [5, 5])
    layer = SparseMoE(("dense", "cross", "polynomial"), fields, "none", expert_scale="learned")
    layer.build(x0.shape, x.shape)
    layer.scale.factors.assign([2.0, -1.0, 0.5])
    gates = layer.gate(x0, k=2)[0].numpy()
    outputs = np.stack(layer.expert_outputs(x0, x), axis=1)
    np.testing.assert_allclose(
        layer(x0, x, k=2)[0], x + np.einsum("be,e,bem->bm", gates, [2.0, -1.0, 0.5], outputs), rtol=1e-5, atol=1e-6
    )


def test_wrong_kinds():
    with pytest.raises(ValueError, match="expert_scale must be 'none', 'sqrt_k', .* received 'two'"):
        ExpertScale(3, "two")
    with pytest.raises(ValueError, match="expert_scale must be 'none' with dispatcher 'bit_fusion'; received 'k'"):
        SparseMoE(["cross"], 3, dispatcher="bit_fusion", expert_scale="k")
