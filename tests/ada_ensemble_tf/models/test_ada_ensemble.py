import numpy as np
import pytest
import tensorflow as tf
from small_ada_ensemble import FIELDS, small_model, some_ids, some_labels

from ada_ensemble_tf import losses

QUIET = {"reduction": 2, "noise": 0.0}


def all_exits(model, ids, k=2):
    """Logits of all exits at full depth, in inference mode."""
    x = x0 = model.normalize(model.embedding(ids), training=False)
    logits = []
    for layer, estimator in zip(model.moe_layers, model.estimators, strict=True):
        x, _, _ = layer(x0, x, k=k)
        logits.append(estimator(x))
    return x0, tf.stack(logits, axis=1)


def test_inference_takes_the_exit_of_the_largest_depth_probability():
    model, ids = small_model(), some_ids()
    x0, logits = all_exits(model, ids)
    exits = tf.argmax(model.depth_gate.logits(x0), axis=1)
    assert len(np.unique(exits)) > 1
    expected = tf.gather(logits, exits, axis=1, batch_dims=1)
    np.testing.assert_allclose(model.forward(ids).logit, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(ids), tf.sigmoid(expected), rtol=1e-4, atol=1e-5)


def test_gates_are_those_of_the_forward_pass():
    model, ids = small_model(), some_ids()
    gates, forward = model.gates(ids), model.forward(ids)
    assert list(gates) == ["layer_1", "layer_2", "layer_3", "depth"]
    np.testing.assert_array_equal(gates["depth"], forward.exit_gates)
    np.testing.assert_allclose(np.mean(gates["layer_1"].numpy() > 0, axis=0), forward.reports["layer_1"].routed, 1e-6)
    assert (np.sum(gates["layer_3"].numpy() > 0, axis=1) == 2).all()
    assert list(small_model(depth_objective="none").gates(ids)) == ["layer_1", "layer_2", "layer_3"]
    assert list(small_model(dispatcher="bit_fusion").gates(ids)) == ["depth"]


def test_training_mixes_the_kept_exits_while_depth_is_annealed():
    model = small_model(gate=QUIET, normalization="layer", embedding_normalization="none", anneal_steps=100)
    model.step.assign(70)  # Depth falls 3, 2, 1 at steps 50 and 100; K 3, 2 at 100.
    ids = some_ids()
    x0, _ = all_exits(model, ids)
    assert int(model.depth_schedule(model.step)) == 2 and int(model.k_schedule(model.step)) == 3
    logits = all_exits(model, ids, k=3)[1].numpy()
    g = model.depth_gate.logits(x0).numpy()
    expected = []
    for row in range(len(g)):
        kept = np.argsort(-g[row])[:2]
        weights = np.exp(g[row, kept]) / np.exp(g[row, kept]).sum()
        expected.append((weights * logits[row, kept]).sum())
    np.testing.assert_allclose(model.forward(ids, training=True).logit, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("objective", ["straight_through", "expected"])
def test_labels_reach_the_depth_gate_once_one_exit_is_left(objective):
    model = small_model(depth_objective=objective, depth_load_weight=0.0, expert_load_weight=0.0)
    ids, labels = some_ids(), some_labels()
    with tf.GradientTape() as tape:
        forward = model.forward(ids, training=True)
        loss = tf.add_n(list(model.objective(forward, labels).values()))
    gradients = tape.gradient(loss, [v.value for v in model.depth_gate.trainable_variables])
    np.testing.assert_allclose(forward.exit_gates.numpy().sum(axis=1), 1.0)
    assert set(np.unique(forward.exit_gates)) == {0.0, 1.0}
    assert all(np.abs(g).max() > 1e-6 for g in gradients)


def test_straight_through_gradient_of_the_depth_logits_by_hand():
    plain = {"normalization": "layer", "embedding_normalization": "none"}
    model = small_model(gate=QUIET, expert_load_weight=0.0, depth_load_weight=0.0, **plain)
    ids, labels = some_ids(), some_labels()
    x0, exit_logits = all_exits(model, ids)
    logits = model.depth_gate.logits(x0)
    p, chosen = tf.nn.softmax(logits).numpy(), np.argmax(logits, axis=1)
    z = exit_logits.numpy()[np.arange(32), chosen]
    # d loss / d logit_j = (sigmoid(z) - y) / B * z * p_chosen (1[j = chosen] - p_j); through the temperature,
    # sum_j of it times -logit_j / tau.
    slope = (1 / (1 + np.exp(-z)) - labels.numpy()) / 32 * z * p[np.arange(32), chosen]
    by_logit = slope[:, None] * (np.eye(3)[chosen] - p)
    tau = float(model.depth_gate.temperature)
    expected = (by_logit * -logits.numpy() / tau).sum()
    with tf.GradientTape() as tape:
        loss = tf.add_n(list(model.objective(model.forward(ids, training=True), labels).values()))
    gradient = tape.gradient(loss, model.depth_gate.raw_temperature.value)
    sigmoid_of_raw = 1 - np.exp(-tau)  # d softplus(raw) / d raw
    assert float(gradient) == pytest.approx(expected * sigmoid_of_raw, rel=1e-3)


def test_expert_gates_get_a_gradient_from_the_labels_at_k_one():
    model = small_model(k=1, depth_load_weight=0.0, expert_load_weight=0.0)
    with tf.GradientTape() as tape:
        loss = tf.add_n(list(model.objective(model.forward(some_ids(), training=True), some_labels()).values()))
    gradients = tape.gradient(loss, [v.value for v in model.moe_layers[0].gate.trainable_variables])
    assert all(np.abs(g).max() > 1e-7 for g in gradients)


def test_objective_is_the_sum_of_its_terms_by_hand():
    prior, depth_prior = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5)
    model = small_model(
        expert_prior=prior,
        depth_prior=depth_prior,
        expert_load_weight=0.1,
        depth_load_weight=0.2,
        z_weight=0.3,
        l2=0.01,
    )
    ids, labels = some_ids(), some_labels()
    forward = model.forward(ids)
    terms = model.objective(forward, labels)
    layers = [forward.reports[f"layer_{i}"] for i in (1, 2, 3)]
    np.testing.assert_allclose(
        terms["expert_distribution"],
        0.1 * sum((r.load.numpy() * r.probability.numpy() / prior).sum() for r in layers), rtol=1e-5,
    )  # fmt: skip
    depth = forward.reports["depth"]
    np.testing.assert_allclose(
        terms["depth_distribution"],
        0.2 * (depth.load.numpy() * depth.probability.numpy() / depth_prior).sum(),
        rtol=1e-5,
    )
    np.testing.assert_allclose(terms["router_z"], 0.3 * sum(float(r.z) for r in [*layers, depth]), rtol=1e-5)
    kernels = [v.numpy() for v in model.weight_variables if v.path.endswith("kernel")]
    assert len(kernels) == 3 * (3 + 1)
    np.testing.assert_allclose(terms["l2"], 0.01 * sum((k**2).sum() for k in kernels), rtol=1e-5)
    np.testing.assert_allclose(terms["log_loss"], losses.log_loss(labels, forward.logit))


def test_no_controller_runs_every_row_to_the_end():
    model, ids = small_model(depth_objective="none"), some_ids()
    forward = model.forward(ids)
    np.testing.assert_allclose(forward.logit, all_exits(model, ids)[1][:, -1], rtol=1e-4, atol=1e-5)
    assert "depth" not in forward.reports and "depth_distribution" not in forward.terms
    assert not any("depth_gate" in v.path or "estimator_1" in v.path for v in model.trainable_variables)


def test_ids_must_be_a_matrix_of_integers():
    with pytest.raises(ValueError, match=r"ids must be a \[B, 10\] matrix of integers"):
        small_model()(tf.zeros([3, FIELDS]))
