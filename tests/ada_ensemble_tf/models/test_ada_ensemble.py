import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf import losses
from ada_ensemble_tf.gates import GATES
from ada_ensemble_tf.models import AdaEnsemble
from ada_ensemble_tf.optimizers import GroupFtrl
from ada_ensemble_tf.schedule import StepSchedule
from experiments.defaults import config_for

FIELDS, ROWS = 10, 60
QUIET = {"reduction": 2, "noise": 0.0}
RELEASED = ("gated_dense", "cross", "polynomial", "convolution", "attention")


def small_model(**arguments) -> AdaEnsemble:
    keras.utils.set_random_seed(3)
    defaults = {"num_rows": ROWS, "num_fields": FIELDS, "dimension": 4, "num_layers": 3, "gate": {"reduction": 2}}
    model = AdaEnsemble(**(defaults | {"experts": ("dense", "cross", "polynomial"), "k": 2} | arguments))
    # Embeddings far enough apart that rows route differently.
    model.embedding.table.assign(tf.random.stateless_normal([ROWS, model.dimension], [7, 7]))
    return model


def some_ids(batch=32) -> tf.Tensor:
    return tf.random.stateless_uniform([batch, FIELDS], [1, 2], 0, ROWS, tf.int32)


def some_labels(batch=32) -> tf.Tensor:
    return tf.cast(tf.random.stateless_uniform([batch], [3, 4]) < 0.3, tf.float32)


def all_exits(model, ids):
    """Logits of all exits at full depth, in inference mode."""
    x = x0 = model.normalize(model.embedding(ids), training=False)
    logits = []
    for layer, estimator in zip(model.moe_layers, model.estimators, strict=True):
        x, _, _ = layer(x0, x, k=model.k)
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
    assert (np.sum(gates["layer_3"].numpy() > 0, axis=1) == model.k).all()
    assert list(small_model(depth_objective="none").gates(ids)) == ["layer_1", "layer_2", "layer_3"]
    assert list(small_model(dispatcher="bit_fusion").gates(ids)) == ["depth"]


def test_training_mixes_the_kept_exits_while_depth_is_annealed():
    model = small_model(gate=QUIET, normalization="layer", embedding_normalization="none", anneal_steps=100)
    model.step.assign(70)  # Depth falls 3, 2, 1 at steps 50 and 100; K 3, 2 at 100.
    ids = some_ids()
    x0, _ = all_exits(model, ids)
    assert int(model.depth_schedule(model.step)) == 2 and int(model.k_schedule(model.step)) == 3
    model.k = 3
    logits = all_exits(model, ids)[1].numpy()
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
    model = small_model(gate=QUIET, normalization="layer", embedding_normalization="none", expert_load_weight=0.0)
    model.depth_load_weight = 0.0
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


def flops_per_row(experts, **arguments) -> float:
    model = AdaEnsemble(
        100, 39, dimension=16, num_layers=4, experts=experts, k=len(experts), depth_objective="none", **arguments
    )
    forward = model.forward(tf.random.stateless_uniform([8, 39], [1, 1], 0, 100, tf.int32))
    return float(forward.flops) / 8 / 1e6


@pytest.mark.parametrize(
    "expert, printed, tolerance, derived",
    [
        ("gated_dense", 3.71, 0.01, 3.70),
        ("cross", 3.36, 0.02, 3.32),
        ("polynomial", 3.32, 0.01, 3.32),
        ("convolution", 1.11, 0.20, 0.94),
        ("attention", 2.17, 0.05, 2.09),
    ],
)
def test_flops_of_single_expert_stacks_are_those_of_the_papers_table_2(expert, printed, tolerance, derived):
    # The table's stacks have gates over five experts; a gate over one is 128 FLOPs a layer cheaper.
    flops = flops_per_row((expert,)) + 4 * 2 * 4 * 16 / 1e6
    assert flops == pytest.approx(printed, rel=tolerance)
    assert flops == pytest.approx(derived, abs=0.0075)


@pytest.mark.parametrize("k, printed, tolerance", [(2, 4.14, 0.02), (3, 6.02, 0.01)])
def test_flops_at_the_papers_shares_are_those_of_its_table_2(k, printed, tolerance):
    """K experts a layer at their prior shares, rows leaving at the shares of table 4."""
    model = AdaEnsemble(100, 39, dimension=16, num_layers=4, experts=RELEASED)
    layer = model.moe_layers[0]
    expert = sum(share * e.flops() for share, e in zip((0.2, 0.2, 0.4, 0.1, 0.1), layer.experts, strict=True))
    mean_depth = 0.0653 * 1 + 0.1936 * 2 + 0.6643 * 3 + 0.0768 * 4
    flops = mean_depth * (k * expert + layer.gate.flops()) + model.depth_gate.flops()
    assert flops / 1e6 == pytest.approx(printed, rel=tolerance)


def test_flops_grow_with_k_and_fall_with_early_exits():
    ids = some_ids()
    by_k = [float(small_model(k=k, depth_objective="none").forward(ids).flops) for k in (1, 2, 3)]
    assert by_k[0] < by_k[1] < by_k[2]
    with_exits = small_model()
    reached = 1 + sum(float(r) for r in _reached(with_exits, ids)[1:])
    assert reached < 3
    assert float(with_exits.forward(ids).flops) < float(small_model(depth_objective="none").forward(ids).flops)


def _reached(model, ids):
    routed = model.forward(ids).reports["depth"].routed.numpy()
    return np.cumsum(routed[::-1])[::-1]


def test_annealing_follows_the_step_and_survives_saving(tmp_path):
    model = small_model(k=1, anneal_steps=40)
    compile_model(model)
    assert [int(model.k_schedule(step)) for step in (0, 19, 20, 39, 40, 1000)] == [3, 3, 2, 2, 1, 1]
    model.step.assign(25)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert int(again.step) == 25
    assert int(again.forward(some_ids()).reports["layer_1"].k) == 2
    np.testing.assert_array_equal(again(some_ids()), model(some_ids()))
    again.finish_annealing()
    assert int(again.step) == 40 and int(again.forward(some_ids()).reports["layer_1"].k) == 1


def test_own_schedules_replace_the_even_ones(tmp_path):
    model = small_model(k_schedule=StepSchedule([3, 1], [5]), depth_schedule=StepSchedule([2, 1], [9]))
    assert model.annealing_steps() == 9
    again = AdaEnsemble.from_config(model.get_config())
    assert (again.k_schedule.values, again.depth_schedule.boundaries) == ((3, 1), (9,))


@pytest.mark.parametrize("name", GATES)
def test_any_gate_takes_the_same_config_and_learns_from_the_labels(name):
    config = config_for("ada_ensemble").lock()
    config.model.gate.name = name
    config.model.gate.reduction = 2
    model = small_model(gate=config.model.gate.to_dict(), expert_load_weight=0.0, depth_load_weight=0.0)
    assert {type(gate) for gate in [model.depth_gate, *(layer.gate for layer in model.moe_layers)]} == {GATES[name]}
    with tf.GradientTape() as tape:
        forward = model.forward(some_ids(), training=True)
        terms = model.objective(forward, some_labels())
        loss = terms["log_loss"]
    gradients = tape.gradient(loss, [v.value for v in model.gate_variables])
    assert sum(g is not None and np.abs(g).max() > 1e-7 for g in gradients) > 0.8 * len(gradients)
    penalties = sum(float(report.penalty) for report in forward.reports.values())
    np.testing.assert_allclose(terms["gate_penalty"], penalties)
    assert (penalties > 0.0) == (name == "dselect_k")
    assert set(np.unique(model.forward(some_ids()).exit_gates)) == {0.0, 1.0}
    config = json.loads(json.dumps(model.get_config()))
    again = AdaEnsemble.from_config(config)
    assert again.get_config()["gate"]["name"] == name and json.loads(json.dumps(again.get_config())) == config


def test_the_dense_dispatcher_gives_the_same_predictions():
    sparse, dense = small_model(), small_model(dispatcher="dense")
    for to, value in zip(dense.weights, sparse.get_weights(), strict=True):
        to.assign(value)
    ours, twin = (model.forward(some_ids()) for model in (dense, sparse))
    np.testing.assert_allclose(ours.logit, twin.logit, rtol=1e-4, atol=1e-5)
    assert float(ours.flops) > float(twin.flops)


@pytest.mark.parametrize("dispatcher", ["vector_fusion", "bit_fusion"])
def test_a_fusion_has_no_expert_gates(dispatcher, tmp_path):
    model = small_model(dispatcher=dispatcher, fusion_activation="sparsemax")
    assert all("depth_gate" in v.path for v in model.gate_variables)
    assert sum("fusion/logits" in v.path for v in model.weight_variables) == model.num_layers
    forward = model.forward(some_ids())
    assert "expert_distribution" not in forward.terms and "depth_distribution" in forward.terms
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(some_ids()), model(some_ids()))
    assert again.get_config() == model.get_config()
    gateless = small_model(dispatcher=dispatcher, depth_objective="none")
    assert gateless.gate_variables == []


def compile_model(model):
    model.compile(GroupFtrl(), keras.optimizers.Adam(1e-2), keras.optimizers.Adam(1e-2))


def test_keras_round_trip_keeps_weights_compilation_and_optimizers(tmp_path):
    model = small_model(experts=RELEASED, k=3, l2=1e-4)
    compile_model(model)
    batches = tf.data.Dataset.from_tensors((some_ids(), some_labels())).repeat(3)
    model.fit(batches, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again.predict(some_ids(), verbose=0), model.predict(some_ids(), verbose=0))
    for name in ("embedding_optimizer", "weight_optimizer", "gate_optimizer"):
        before, after = getattr(model, name), getattr(again, name)
        assert int(after.iterations) == 3 and len(before.variables) == len(after.variables)
        for one, other in zip(before.variables, after.variables, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"k": 4}, "k must lie between 1 and the 3 experts; received 4"),
        ({"num_layers": 0}, "num_layers must be at least 1; received 0"),
        ({"depth_objective": "mixed"}, "depth_objective must be one of .* received 'mixed'"),
        (
            {"expert_prior": (0.5, 0.5)},
            r"expert_prior must hold 3 positive shares that sum to 1; received \(0.5, 0.5\)",
        ),
        ({"depth_prior": (0.5, 0.6, -0.1)}, "depth_prior must hold 3 positive shares"),
        ({"anneal_steps": 1}, "annealing from 3 to 1 needs at least 2 steps; received 1"),
        ({"k_schedule": StepSchedule([4, 2], [5])}, "k_schedule keeps more than the 3 experts"),
        ({"depth_schedule": StepSchedule([3, 2], [5])}, "depth_schedule must stay within 3 layers and end in 1"),
        ({"experts": ("dense", "crossing", "cross")}, "there is no expert 'crossing'"),
        ({"gate": {"name": "cosine"}}, "there is no gate 'cosine'; there are dselect_k, gumbel_threshold"),
        ({"gate": {"selectors": 2}}, "gate 'noisy_cosine' has no option selectors; it has reduction, hidden_size"),
        ({"gate": "noisy_cosine"}, "gate must map its name and options to their values; received 'noisy_cosine'"),
        ({"dropout": -0.1}, r"dropout must lie in \[0, 1\); received -0.1"),
        ({"dispatcher": "fusion"}, "dispatcher must be one of .* received 'fusion'"),
        (
            {"dispatcher": "bit_fusion", "fusion_activation": "relu"},
            "activation of the fusion must be one of .* received 'relu'",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**arguments)


def test_ids_must_be_a_matrix_of_integers():
    with pytest.raises(ValueError, match=r"ids must be a \[B, 10\] matrix of integers"):
        small_model()(tf.zeros([3, FIELDS]))
