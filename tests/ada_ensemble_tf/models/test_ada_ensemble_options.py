import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_ada_ensemble import FIELDS, RELEASED, ROWS, compile_model, small_model, some_ids, some_labels

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.experts import CrossExpert, DenseExpert
from ada_ensemble_tf.gates import GATES
from ada_ensemble_tf.models import AdaEnsemble, DenseMoE


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
    model = small_model(
        k_schedule={"values": [3, 1], "boundaries": [5]}, depth_schedule={"values": [2, 1], "boundaries": [9]}
    )
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


def test_keras_round_trip_keeps_weights_compilation_and_optimizers(tmp_path):
    model = small_model(experts=RELEASED, k=3, l2=1e-4, num_layers=2)
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


MIXED = (
    ("cross", {"name": "cin", "feature_maps": (4,)}, "cross"),
    (CrossExpert(FIELDS, diag_scale=0.5), DenseExpert),
    ["polynomial", "identity"],
)
"""A list a layer, of all forms and different lengths."""


def test_layers_have_lists_of_their_own(tmp_path):
    model = small_model(experts=MIXED, k=1, anneal_steps=4, depth_objective="none")
    names = {
        "layer_1": ["cross", "cin", "cross_2"],
        "layer_2": ["cross", "dense"],
        "layer_3": ["polynomial", "identity"],
    }
    assert {place: choices for place, choices in model.choice_names().items() if place != "depth"} == names
    # K is 3 at first, of which the smaller layers have two.
    forward = model.forward(some_ids(), training=True)
    assert [int(forward.reports[f"layer_{depth}"].k) for depth in (1, 2, 3)] == [3, 2, 2]
    spent = sum(e.flops() for layer in model.moe_layers for e in (*layer.experts, layer.gate))
    assert float(forward.flops) == 32 * (spent + model.estimators[-1].flops())
    assert [gates.shape[1] for place, gates in model.gates(some_ids()).items() if place != "depth"] == [3, 2, 2]
    assert [len(outputs) for outputs in model.expert_outputs(some_ids()).values()] == [3, 2, 2]
    # Uniform priors: 1 / E each, E sum(f P) a layer.
    reports = [forward.reports[f"layer_{depth}"] for depth in (1, 2, 3)]
    loss = sum(len(r.load) * np.sum(r.load.numpy() * r.probability.numpy()) for r in reports)
    np.testing.assert_allclose(forward.terms["expert_distribution"], 0.01 * loss, rtol=1e-5)
    config = json.loads(json.dumps(model.get_config()))
    assert config["experts"][:2] == [
        ["cross", {"name": "cin", "feature_maps": [4]}, "cross"],
        [{"name": "cross", "diag_scale": 0.5}, "dense"],
    ]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert json.loads(json.dumps(again.get_config())) == config
    np.testing.assert_array_equal(again(some_ids()), model(some_ids()))


def test_dense_moe_keeps_all_experts_of_all_lists():
    model = DenseMoE(num_rows=ROWS, num_fields=FIELDS, dimension=4, num_layers=3, experts=MIXED, gate={"reduction": 2})
    reports = model.forward(some_ids()).reports
    assert [int(reports[f"layer_{depth}"].k) for depth in (1, 2, 3)] == [3, 2, 2]
    assert all(reports[f"layer_{depth}"].routed.numpy().min() == 1.0 for depth in (1, 2, 3))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"k": 4}, "k must lie between 1 and the 3 experts; received 4"),
        ({"experts": MIXED, "k": 3}, "k must lie between 1 and the 2 experts of layer_2; received 3"),
        (
            {"experts": MIXED, "k": 1, "expert_prior": (0.5, 0.5)},
            "expert_prior must be None where layers have different numbers of experts; received",
        ),
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1; received 0"),
        ({"load": "kept"}, "load must be 'largest' or 'dispatched'; received 'kept'"),
        ({"depth_objective": "mixed"}, "depth_objective must be .* or 'none'; received 'mixed'"),
        (
            {"expert_prior": (0.5, 0.5)},
            r"expert_prior must hold 3 positive shares that sum to 1; received \[0.5, 0.5\]",
        ),
        ({"depth_prior": (0.5, 0.6, -0.1)}, "depth_prior must be finite numbers above 0, or be None; received"),
        ({"anneal_steps": 1}, "anneal_steps must be 0 or last at least 2 weight updates, .*; received 1"),
        ({"k_schedule": {"values": [4, 2], "boundaries": [5]}}, "k_schedule must keep at most the 3 experts"),
        (
            {"depth_schedule": {"values": [3, 2], "boundaries": [5]}},
            "depth_schedule must stay within 3 layers and end in 1",
        ),
        ({"experts": ("dense", "crossing", "cross")}, "experts must be among attention, .*; received 'crossing'"),
        ({"gate": {"name": "cosine"}}, "gate.name must be among dselect_k, gumbel_threshold"),
        ({"gate": {"selectors": 2}}, "gate 'noisy_cosine' has no option selectors; it has reduction, hidden_size"),
        ({"gate": "noisy_cosine"}, "gate must map names to values; received 'noisy_cosine'"),
        ({"dropout": -0.1}, r"dropout must lie in \[0, 1\); received -0.1"),
        ({"dispatcher": "fusion"}, "dispatcher must be among .* received 'fusion'"),
        (
            {"dispatcher": "bit_fusion", "fusion_activation": "relu"},
            "fusion_activation must be among .* received 'relu'",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**arguments)
