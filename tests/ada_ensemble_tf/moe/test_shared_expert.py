import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.moe import SparseMoE

FIELDS, WIDTH = 3, 6


def made(**options):
    layer = SparseMoE(("dense", "polynomial"), FIELDS, "none", shared_expert="cross", **options)
    x0, x = tf.random.stateless_normal([2, 9, WIDTH], [5, 5])
    layer.build(x0.shape, x.shape)
    return layer, x0, x


def without(layer):
    """The layer with the routed experts' weights, without the shared one."""
    twin = SparseMoE(("dense", "polynomial"), FIELDS, "none", dispatcher=layer.dispatcher)
    twin.build((None, WIDTH), (None, WIDTH))
    values = {v.path.split("/", 1)[-1]: v for v in layer.weights}
    for weight in twin.weights:
        weight.assign(values[weight.path.split("/", 1)[-1]])
    return twin


@pytest.mark.parametrize("dispatcher", ["sparse", "dense", "vector_fusion"])
def test_adds_its_output_for_every_row(dispatcher):
    layer, x0, x = made(dispatcher=dispatcher)
    routed, report, flops = without(layer)(x0, x, k=1)
    shared = x0 * (x @ layer.shared.dense.kernel.value + layer.shared.dense.bias.value)
    output, same, more = layer(x0, x, k=1)
    np.testing.assert_allclose(output, routed + shared, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(same.routed, report.routed)
    assert float(more) == float(flops) + 9 * layer.shared.flops()
    assert len(layer.expert_outputs(x0, x)) == 2
    nothing, _, none = layer(x0[:0], x[:0], k=1, training=True)
    assert nothing.shape == (0, WIDTH) and float(none) == 0.0


def test_has_a_learned_scale_and_normalisation_of_its_own():
    layer, x0, x = made(expert_scale="learned", expert_normalization="output")
    layer.scale.factors.assign([0.0, 0.0, 2.0])
    layer.output_norms[2].beta.assign(tf.ones([WIDTH]))
    raw = x0 * (x @ layer.shared.dense.kernel.value + layer.shared.dense.bias.value)
    normal = (raw - np.mean(raw, axis=0)) / np.sqrt(np.var(raw, axis=0) + 1e-3) + 1.0
    np.testing.assert_allclose(layer(x0, x, k=1, training=True)[0], x + 2.0 * normal, rtol=1e-3, atol=1e-4)


def test_keras_round_trip(tmp_path):
    x0, x = keras.Input((WIDTH,)), keras.Input((WIDTH,))
    model = keras.Model([x0, x], made()[0](x0, x, k=1)[0])
    model.save(tmp_path / "moe.keras")
    inputs = list(tf.random.stateless_normal([2, 9, WIDTH], [5, 5]))
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "moe.keras")(inputs), model(inputs))
