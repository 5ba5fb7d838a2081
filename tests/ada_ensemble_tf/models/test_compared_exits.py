import keras
import numpy as np
import pytest
import tensorflow as tf
from published_layers import PUBLISHED_LAYERS
from small_ada_ensemble import small_model, some_ids, some_labels

from ada_ensemble_tf.layers.precision import layers_of
from ada_ensemble_tf.models import AdaEnsemble
from ada_ensemble_tf.optimizers import GroupFtrl

QUIET = {"reduction": 2, "noise": 0.0}
LOG_3 = np.log(3.0)
# Of rows of the first group three in four are clicked, of the second one in four.
GROUPS = tf.constant([[0, 2]] * 4 + [[1, 2]] * 4)
CLICKS = tf.constant([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
COARSE, FINE = np.log(2.0), 0.75 * np.log(4 / 3) + 0.25 * np.log(4.0)
"""LogLoss of an exit that knows the base rate, and of one that knows the groups; both are calibrated."""
SCORES = np.array([[0.6, 0.8], [0.0, 1.0]], np.float32)
"""Embeddings of the two exits; h is (1, 0), so cosines are 0.6 and 0."""
TAU = 0.5


def toy(objective, weights=(0.0, LOG_3), choices=SCORES):
    """Two exits that read the group off the embedding: exit l's logit is weights[l] or -weights[l]."""
    keras.utils.set_random_seed(1)
    own = {"num_layers": 2, "experts": ("dense",), "k": 1, "normalization": "none", "depth_objective": objective}
    model = AdaEnsemble(
        num_rows=3, num_fields=2, dimension=1, l2=0.0, embedding_normalization="none", expert_load_weight=0.0,
        depth_load_weight=0.0, deep_supervision=0.0,
        gate={"noise": 0.0, "hidden_size": 2, "initial_temperature": TAU}, **PUBLISHED_LAYERS | own,
    )  # fmt: skip
    model.embedding.table.assign([[1.0], [-1.0], [0.0]])
    for layer, estimator, weight in zip(model.moe_layers, model.estimators, weights, strict=True):
        for variable in layer.experts[0].trainable_variables:
            variable.assign(tf.zeros_like(variable))
        estimator.kernel.assign([weight, 0.0])
    gate = model.depth_gate
    gate.squeeze.kernel.assign(tf.zeros_like(gate.squeeze.kernel))
    gate.project.bias.assign([1.0, 0.0])
    gate.choices.assign(choices)
    sgd = keras.optimizers.SGD
    model.compile(GroupFtrl(), sgd(1.0), sgd(1.0), run_eagerly=True)
    return model


def update(model, kind):
    if kind == "gates":
        return model._gate_step((GROUPS, CLICKS), (GROUPS, CLICKS))
    return model._joint_step(GROUPS, CLICKS)


@pytest.mark.parametrize("kind", ["gates", "joint"])
def test_rows_are_pushed_to_the_better_of_two_calibrated_exits_at_the_exact_rate(kind):
    model = toy("compared")
    raw = float(model.depth_gate.raw_temperature)
    logs = update(model, kind)
    p = 1 / (1 + np.exp(-0.6 / TAU))  # Of exit 1, the worse one.
    if kind == "gates":
        assert float(logs["gate_update/log_loss"]) == pytest.approx(p * COARSE + (1 - p) * FINE, rel=1e-5)
    # d / d logit_1 of p_1 L_1 + p_2 L_2 is p_1 p_2 (L_1 - L_2), and of logit_2 minus that.
    slope = p * (1 - p) * (COARSE - FINE)
    by_temperature = slope * -(0.6 / TAU) / TAU * (1 - np.exp(-TAU))  # d softplus(raw) / d raw = 1 - exp(-tau).
    assert raw - float(model.depth_gate.raw_temperature) == pytest.approx(by_temperature, rel=1e-4)
    # d cos(h, e_j) / d e_j = h - cos e_j, for e_j of length 1.
    by_choice = slope / TAU * np.array([[1 - 0.36, -0.48], [-1.0, 0.0]])
    np.testing.assert_allclose(SCORES - model.depth_gate.choices.numpy(), by_choice, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["gates", "joint"])
def test_equal_exits_push_nowhere(kind):
    model = toy("compared", weights=(LOG_3, LOG_3))
    before = [v.numpy().copy() for v in model.depth_gate.trainable_variables]
    update(model, kind)
    for one, variable in zip(before, model.depth_gate.trainable_variables, strict=True):
        np.testing.assert_allclose(variable.numpy(), one, atol=1e-7)


@pytest.mark.parametrize("objective, change", [("compared", 1), ("straight_through", 0), ("expected", -1)])
def test_what_each_objective_does_to_the_kept_exit_if_it_is_the_best_and_calibrated(objective, change):
    model = toy(objective, choices=SCORES[::-1])

    def kept():
        logits = model.depth_gate.logits(tf.ones([1, 2]))
        return float(tf.nn.softmax(logits)[0, 1])

    before = kept()
    update(model, "gates")
    assert before > 0.5 and (abs(kept() - before) < 1e-6 if change == 0 else change * (kept() - before) > 1e-3)


def compared(**arguments) -> AdaEnsemble:
    """A small model that learns from the comparison of its exits alone, not from their supervision."""
    return small_model(gate=QUIET, depth_objective="compared", **{"deep_supervision": 0.0} | arguments)


def every_exit(model, ids, k=2):
    """`[B, L]` logits in inference mode, and the whole softmax of depth, layer by layer."""
    x = x0 = model.normalize(model.embedding(ids), training=False)
    logits = []
    for layer, estimator in zip(model.moe_layers, model.estimators, strict=True):
        x, _, _ = layer(x0, x, k=k)
        logits.append(estimator(x).numpy())
    return np.stack(logits, axis=1), tf.nn.softmax(model.depth_gate.logits(x0)).numpy()


def log_losses(labels, logits):
    return np.log1p(np.exp(-np.where(np.asarray(labels)[:, None] > 0.5, logits, -logits)))


@pytest.mark.parametrize("dispatcher", ["sparse", "dense", "bit_fusion"])
def test_the_gate_loss_scores_all_exits_as_they_would_predict(dispatcher):
    model = compared(dropout=0.5, dispatcher=dispatcher)
    ids, labels = some_ids(), some_labels()
    logits, p = every_exit(model, ids)
    forward, terms = model.loss_terms(ids, labels, "gates")
    np.testing.assert_allclose(terms["log_loss"], np.mean(np.sum(p * log_losses(labels, logits), axis=1)), rtol=1e-5)
    np.testing.assert_allclose(forward.exit_logits, logits, rtol=1e-4, atol=1e-5)
    assert float(terms["depth_distribution"]) > 0.0 and "deep_supervision" not in terms


def test_the_gradient_into_all_gates_is_that_of_the_dense_twin():
    gradients = []
    for dispatcher in ("sparse", "dense"):
        model = compared(dispatcher=dispatcher)
        with tf.GradientTape() as tape:
            loss = model.loss_terms(some_ids(), some_labels(), "gates")[1]["log_loss"]
        gradients.append(tape.gradient(loss, [v.value for v in model.gate_variables]))
    for sparse, dense in zip(*gradients, strict=True):
        np.testing.assert_allclose(sparse, dense, rtol=1e-3, atol=1e-6)
        assert np.abs(sparse).max() > 1e-7


def test_the_joint_term_reaches_the_depth_gate_alone_and_changes_no_statistics():
    model = compared()
    ids, labels = some_ids(), some_labels()
    logits, _ = every_exit(model, ids)
    routed = [v.numpy().copy() for v in _statistics(small_model_after_forward(ids))]
    with tf.GradientTape(persistent=True) as tape:
        forward, terms = model.loss_terms(ids, labels, "joint")
    p = forward.reports["depth"].row_probability.numpy()
    expected = np.mean(np.sum(p * log_losses(labels, logits), axis=1))
    np.testing.assert_allclose(terms["exit_comparison"], expected, rtol=1e-5)
    depth = {id(v) for v in model.depth_gate.trainable_variables}
    values = [v.value for v in model.trainable_variables]
    by_term, by_prediction = (tape.gradient(terms[name], values) for name in ("exit_comparison", "log_loss"))
    for variable, one, other in zip(model.trainable_variables, by_term, by_prediction, strict=True):
        assert (one is not None) == (other is None) == (id(variable) in depth), variable.path
    # Only the routed pass counts in the statistics, once.
    for one, other in zip(routed, _statistics(model), strict=True):
        np.testing.assert_array_equal(one, other)


def small_model_after_forward(ids):
    model = compared()
    model.forward(ids, training=True)
    return model


def _statistics(model):
    return [v for v in model.non_trainable_variables if "moving" in v.path]


def test_exits_are_mixed_while_several_are_kept_and_only_those_are_computed():
    model = compared(anneal_steps=100, normalization="layer")
    model.step.assign(70)  # Two of three exits.
    twin = small_model(gate=QUIET, anneal_steps=100, normalization="layer")
    twin.step.assign(70)
    ours, theirs = model.forward(some_ids(), training=True), twin.forward(some_ids(), training=True)
    assert (np.sum(ours.exit_gates.numpy() > 0, axis=1) == 2).all()
    np.testing.assert_array_equal(ours.logit, theirs.logit)
    assert float(ours.flops) == float(theirs.flops)
    np.testing.assert_array_equal(ours.exit_logits.numpy() != 0.0, ours.exit_gates.numpy() > 0.0)


def test_only_the_gate_rows_cost_full_depth():
    model = compared(k=3)
    model.compile(GroupFtrl(), keras.optimizers.Adam(), keras.optimizers.Adam(), run_eagerly=True)
    ids, labels = some_ids(), some_labels()
    layers = [sum(e.flops() for e in layer.experts) + layer.gate.flops() for layer in model.moe_layers]
    full = sum(layers) + sum(e.flops() for e in model.estimators) + model.depth_gate.flops()
    logs = model.training_logs({"train": (ids[None], labels[None]), "gate": (ids, labels)})
    assert float(logs["gate_update/flops_per_example"]) == pytest.approx(full, rel=1e-6)
    assert float(logs["flops_per_example"]) < 0.9 * full
    assert int(logs["first_bad"]) == -1


def test_deep_supervision_by_hand():
    model = small_model(gate=QUIET, normalization="layer", embedding_normalization="none", deep_supervision=0.25)
    ids, labels = some_ids(), some_labels()
    logits, p = every_exit(model, ids)
    _, terms = model.loss_terms(ids, labels, "weights")
    losses = log_losses(labels, logits)
    np.testing.assert_allclose(terms["deep_supervision"], 0.25 * np.mean(losses), rtol=1e-5)
    chosen = losses[np.arange(len(losses)), np.argmax(p, axis=1)]
    np.testing.assert_allclose(terms["log_loss"], np.mean(chosen), rtol=1e-5)
    assert "deep_supervision" not in model.objective(model.forward(ids), labels)
    with pytest.raises(ValueError, match="deep_supervision must be 0 where depth_objective is 'none'; received 0.1"):
        small_model(depth_objective="none", deep_supervision=0.1)


def test_round_trip(tmp_path):
    model = small_model(depth_objective="compared", deep_supervision=0.1)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    assert (again.depth_objective, again.deep_supervision) == ("compared", 0.1)
    np.testing.assert_array_equal(again(some_ids()), model(some_ids()))


@pytest.mark.parametrize(
    ("objective", "coefficient"), [("compared", 0.1), ("straight_through", 0.0), ("expected", 0.0), ("none", 0.0)]
)
def test_exits_are_supervised_by_default_if_they_are_compared(objective, coefficient):
    model = small_model(num_layers=2, depth_objective=objective)
    assert model.get_config()["deep_supervision"] is None and model.deep_supervision == coefficient
    forward, terms = model.loss_terms(some_ids(), some_labels(), "weights")
    assert ("deep_supervision" in terms) == forward.every_exit == (coefficient > 0.0)


@pytest.mark.parametrize("kind", ["gates", "joint"])
def test_bfloat16_layers_are_compared_in_float32(kind):
    term = {"gates": "log_loss", "joint": "exit_comparison"}[kind]
    values = []
    for policy in ("float32", "mixed_bfloat16"):
        with layers_of(policy):
            model = compared()
        values.append(model.loss_terms(some_ids(), some_labels(), kind)[1][term])
    assert values[1].dtype == tf.float32 and 0.0 < abs(float(values[1] - values[0])) < 0.01
