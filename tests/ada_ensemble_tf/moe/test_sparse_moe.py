import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.experts import CrossExpert
from ada_ensemble_tf.gates import NoisyCosineGate
from ada_ensemble_tf.moe import SparseMoE

EXPERTS = ("dense", "gated_dense", "cross", "polynomial", "convolution", "attention")
FIELDS, WIDTH = 12, 48


def layer_and_inputs(normalization="none", experts=EXPERTS, rows=20):
    layer = SparseMoE(experts, FIELDS, normalization)
    x0 = tf.random.stateless_normal([rows, WIDTH], [1, 1])
    x = tf.random.stateless_normal([rows, WIDTH], [2, 2])
    layer.build(x0.shape, x.shape)
    return layer, x0, x


def dense_twin(layer, x0, x, k):
    """Every expert on every row, weighted by the gates."""
    gates, _ = layer.gate(x0, k=k)
    outputs = tf.stack([expert(x0, x) for expert in layer.experts], axis=1)
    return layer.normalize(x + tf.einsum("be,bem->bm", gates, outputs))


@pytest.mark.parametrize("normalization", ["none", "layer", "batch"])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_equals_the_dense_twin(k, normalization):
    layer, x0, x = layer_and_inputs(normalization)
    output, _, _ = layer(x0, x, k=k)
    np.testing.assert_allclose(output, dense_twin(layer, x0, x, k), rtol=1e-4, atol=1e-5)


def test_gradients_equal_the_dense_twin():
    layer, x0, x = layer_and_inputs("layer")
    variables = [v.value for v in layer.trainable_variables]

    def gradients(form):
        with tf.GradientTape() as tape:
            tape.watch([x0, x])
            loss = tf.reduce_sum(form() * tf.random.stateless_normal(x.shape, [3, 3]))
        return tape.gradient(loss, [x0, x, *variables])

    sparse = gradients(lambda: layer(x0, x, k=6)[0])
    dense = gradients(lambda: dense_twin(layer, x0, x, 6))
    for one, other in zip(sparse, dense, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_flops_follow_the_routing():
    layer, x0, x = layer_and_inputs()
    _, report, flops = layer(x0, x, k=2)
    rows = report.routed.numpy() * 20
    assert rows.sum() == pytest.approx(40)
    expected = sum(n * expert.flops() for n, expert in zip(rows, layer.experts, strict=True))
    assert float(flops) == pytest.approx(expected + 20 * layer.gate.flops(), rel=1e-6)


def test_an_expert_without_rows_costs_nothing_and_learns_nothing():
    layer, x0, x = layer_and_inputs()
    # A gate that always prefers the first choice: the same embedding for all, ties go to the lowest index.
    layer.gate.choices.assign(tf.ones_like(layer.gate.choices))
    with tf.GradientTape() as tape:
        output, report, flops = layer(x0, x, k=1, training=True)
        loss = tf.reduce_sum(output**2)
    assert report.routed.numpy().tolist() == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert float(flops) == 20 * (layer.experts[0].flops() + layer.gate.flops())
    used, unused = layer.experts[0].trainable_variables, layer.experts[4].trainable_variables
    gradients = tape.gradient(loss, [[v.value for v in used], [v.value for v in unused]])
    assert all(np.abs(g).max() > 0 for g in gradients[0])
    assert all(np.abs(g).max() == 0 for g in gradients[1])


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("normalization", ["none", "layer", "batch"])
def test_no_rows(normalization, in_graph):
    layer, _, _ = layer_and_inputs(normalization)

    def run(x):
        with tf.GradientTape() as tape:
            output, _, flops = layer(x, x, k=2, training=True)
            loss = tf.reduce_sum(output)
        return output, flops, tape.gradient(loss, [v.value for v in layer.trainable_variables])

    output, flops, gradients = (tf.function(run, autograph=False) if in_graph else run)(tf.zeros([0, WIDTH]))
    assert output.shape == (0, WIDTH) and float(flops) == 0.0
    assert all(np.isfinite(g).all() for g in gradients if g is not None)
    assert all(np.isfinite(v.numpy()).all() for v in layer.non_trainable_variables if "seed" not in v.path)


def with_dispatcher(dispatcher, layer):
    """The same layer, weights included, with another dispatcher."""
    twin = SparseMoE(EXPERTS, FIELDS, layer.normalization, dispatcher=dispatcher)
    twin.build((None, WIDTH), (None, WIDTH))
    for to, value in zip(twin.weights, layer.get_weights(), strict=True):
        to.assign(value)
    return twin


@pytest.mark.parametrize("rows", [20, 1, 0])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_the_dense_dispatcher_gives_the_same(k, rows):
    layer, x0, x = layer_and_inputs("layer", rows=rows)
    dense = with_dispatcher("dense", layer)
    weights = tf.random.stateless_normal(x.shape, [3, 3])
    results = []
    for one in (layer, dense):
        with tf.GradientTape() as tape:
            tape.watch([x0, x])
            output, report, flops = one(x0, x, k=k)
            loss = tf.reduce_sum(output * weights)
        sources = [x0, x, *[v.value for v in one.trainable_variables]]
        gradients = tape.gradient(loss, sources, unconnected_gradients="zero")
        results.append((output, *report, *gradients))
    for sparse_value, dense_value in zip(*results, strict=True):
        np.testing.assert_allclose(sparse_value, dense_value, rtol=1e-3, atol=1e-4)
    assert float(flops) == rows * (sum(e.flops() for e in layer.experts) + layer.gate.flops())


def test_gates_may_weight_what_experts_read():
    layer, x0, x = layer_and_inputs()
    pre = with_dispatcher("dense_pre", layer)
    gates, _ = layer.gate(x0, k=2)
    expected = x.numpy()
    for j, expert in enumerate(layer.experts):
        gate = gates[:, j, None]
        expected += np.where(gate > 0, expert(gate * x0, gate * x), 0)
    np.testing.assert_allclose(pre(x0, x, k=2)[0], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="expert_scale must be 'none' with dispatcher 'dense_pre'; received 'k'"):
        SparseMoE(["cross"], FIELDS, dispatcher="dense_pre", expert_scale="k")


@pytest.mark.parametrize("activation", ["sigmoid", "sparsemax"])
@pytest.mark.parametrize("mode", ["vector", "bit"])
def test_a_fusion_weights_all_experts_without_a_gate(mode, activation):
    layer = SparseMoE(EXPERTS, FIELDS, "layer", dispatcher=f"{mode}_fusion", fusion_activation=activation)
    x0, x = (tf.random.stateless_normal([7, WIDTH], [i, i]) for i in (1, 2))
    layer.build(x0.shape, x.shape)
    assert layer.gate is None and not any("gate/" in v.path for v in layer.weights)
    layer.fusion.logits.assign(np.random.default_rng(0).normal(size=layer.fusion.logits.shape))
    weights = np.broadcast_to(layer.fusion.weights_of_experts(), [len(EXPERTS), WIDTH])
    outputs = np.stack([expert(x0, x) for expert in layer.experts])
    output, report, flops = layer(x0, x, k=1)
    expected = layer.normalize(x + np.einsum("ebm,em->bm", outputs, weights))
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    assert float(flops) == 7 * sum(expert.flops() for expert in layer.experts)
    np.testing.assert_allclose(report.probability, weights.mean(axis=1) / weights.mean(axis=1).sum(), rtol=1e-5)
    empty, _, nothing = layer(x0[:0], x[:0], k=1, training=True)
    assert empty.shape == (0, WIDTH) and float(nothing) == 0.0


@pytest.mark.parametrize("dispatcher", ["dense", "bit_fusion"])
def test_keras_round_trip_of_the_dispatcher(dispatcher, tmp_path):
    x0, x = keras.Input((WIDTH,)), keras.Input((WIDTH,))
    layer = SparseMoE(("cross", "dense"), FIELDS, dispatcher=dispatcher, fusion_activation="smooth_step")
    model = keras.Model([x0, x], layer(x0, x, k=1)[0])
    model.save(tmp_path / "moe.keras")
    again = keras.models.load_model(tmp_path / "moe.keras")
    inputs = [np.random.default_rng(i).normal(size=(7, WIDTH)).astype(np.float32) for i in range(2)]
    np.testing.assert_array_equal(model(inputs), again(inputs))


def test_keras_round_trip(tmp_path):
    x0, x = keras.Input((WIDTH,)), keras.Input((WIDTH,))
    experts = ("cross", "attention", {"name": "cin", "feature_maps": (4,)}, CrossExpert(FIELDS, diag_scale=0.5))
    output, report, _ = SparseMoE(experts, FIELDS, "batch")(x0, x, k=2)
    model = keras.Model([x0, x], [output, report.load])
    model.save(tmp_path / "moe.keras")
    again = keras.models.load_model(tmp_path / "moe.keras")
    inputs = [np.random.default_rng(i).normal(size=(7, WIDTH)).astype(np.float32) for i in range(2)]
    for before, after in zip(model(inputs), again(inputs), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("dispatcher", ["sparse", "dense", "vector_fusion"])
def test_dropout_is_on_what_experts_see_in_training(dispatcher):
    layer = SparseMoE(["dense"], FIELDS, "none", dispatcher=dispatcher, dropout=0.5)
    ones = tf.ones([200, WIDTH])
    layer.build(ones.shape, ones.shape)
    # The expert hands on what it sees; a gate over one expert is 1, and so is a fusion's softmax.
    layer.experts[0].dense.kernel.assign(tf.eye(WIDTH))
    np.testing.assert_allclose(layer(ones, ones, k=1)[0], 2.0, rtol=1e-6)
    seen = layer(ones, ones, k=1, training=True)[0] - 1.0
    # Kept values are doubled, and the residual is whole.
    assert set(np.unique(np.round(seen, 5))) == {0.0, 2.0}
    assert np.mean(seen) == pytest.approx(1.0, abs=0.05)


def test_dropout_hides_x0_but_not_from_the_gate():
    layer = SparseMoE(["cross", "polynomial"], FIELDS, "none", NoisyCosineGate(2, noise=0.0), dropout=0.9)
    x0, x = tf.random.stateless_normal([2, 50, WIDTH], [4, 4])
    layer.build(x0.shape, x.shape)
    for name in ("logit_min", "logit_max", "entropy"):
        quiet = getattr(layer(x0, x, k=1)[1], name)
        np.testing.assert_array_equal(getattr(layer(x0, x, k=1, training=True)[1], name), quiet)
    # x0 * (W x + b) with W = 0 and b = 1 is x0 as the cross expert sees it.
    layer.experts[0].dense.kernel.assign(tf.zeros([WIDTH, WIDTH]))
    layer.experts[0].dense.bias.assign(tf.ones([WIDTH]))
    layer.gate.choices.assign(tf.zeros_like(layer.gate.choices))  # Equal logits: the first expert is kept.
    seen = layer(x0, x, k=1, training=True)[0] - x
    assert np.mean(np.abs(seen) < 1e-6) == pytest.approx(0.9, abs=0.05)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\); received 1.0"):
        SparseMoE(["cross"], FIELDS, dropout=1.0)
    with pytest.raises(ValueError, match="experts must be among attention, .*; received 'crossing'"):
        SparseMoE(["crossing"], FIELDS)
    with pytest.raises(
        ValueError, match="experts.cross_2.diag_scale must be a finite number of at least 0; received -1"
    ):
        SparseMoE(["cross", {"name": "cross", "diag_scale": -1}], FIELDS)
    with pytest.raises(ValueError, match="experts.subspace_crossing.subspaces must divide D=4; received 3"):
        SparseMoE([{"name": "subspace_crossing", "subspaces": 3}], FIELDS).build((None, 48), (None, 48))
    with pytest.raises(ValueError, match="experts.cross.num_fields must be 12; received 3"):
        SparseMoE([CrossExpert(3)], FIELDS)
    with pytest.raises(ValueError, match="normalization must be 'batch', 'layer', 'none' or 'pre'; received 'group'"):
        SparseMoE(["cross"], FIELDS, "group")
    with pytest.raises(ValueError, match="chooses among 3, but there are 1 experts"):
        SparseMoE(["cross"], FIELDS, gate=NoisyCosineGate(3))
    with pytest.raises(ValueError, match=r"dispatcher must be one of \('sparse', 'dense', .* received 'fusion'"):
        SparseMoE(["cross"], FIELDS, dispatcher="fusion")
    with pytest.raises(ValueError, match="dispatcher 'bit_fusion' weights the experts itself: it takes no gate"):
        SparseMoE(["cross"], FIELDS, gate=NoisyCosineGate(1), dispatcher="bit_fusion")
    with pytest.raises(ValueError, match="multiple of num_fields; received M=50 and num_fields=12"):
        SparseMoE(["cross"], FIELDS).build((None, 50), (None, 50))
