import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_ada_ensemble import compile_model, small_model, some_ids, some_labels

from ada_ensemble_tf.layers.precision import layers_of
from ada_ensemble_tf.models import AdaEnsemble, DenseMoE

OPTIONS = [
    {"normalization": "pre", "expert_scale": "sqrt_k", "expert_embeddings": "own", "exits": "summed", "num_layers": 2},
    {
        "normalization": "none",
        "expert_normalization": "input",
        "expert_scale": "learned",
        "expert_embeddings": "linear",
        "shared_expert": "gated_dense",
        "gate": {"dropout": 0.2, "l2": 0.1, "reduction": 2},
    },
    {
        "expert_normalization": "pre_activation",
        "expert_scale": "unweighted",
        "depth_objective": "compared",
        "head_units": (4, 3),
        "dropout": 0.2,
    },
]


@pytest.mark.parametrize("options", OPTIONS)
def test_trains_and_survives_a_round_trip(options, tmp_path):
    model = small_model(**{"k": 3, "num_layers": 1, "embedding_normalization": "none"} | options)
    compile_model(model)
    before = [v.numpy() for v in model.trainable_variables]
    assert int(model.training_logs((some_ids(), some_labels()))["first_bad"]) == -1
    for value, variable in zip(before, model.trainable_variables, strict=True):
        assert np.abs(variable - value).max() > 0 or "depth_gate" in variable.path, variable.path
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again(some_ids()), model(some_ids()))
    assert DenseMoE.from_config({n: v for n, v in model.get_config().items() if n not in ("k", "k_schedule")}).built


def test_bfloat16_options_compute_near_float32():
    """Among them the learned factor of the shared expert, which is read outside its layer's call."""
    options = OPTIONS[1] | {"num_layers": 1, "gate": {"reduction": 2}}
    with layers_of("mixed_bfloat16"):
        model = small_model(**options)
    exact = small_model(**options)
    exact.set_weights(model.get_weights())
    logit = model.forward(some_ids()).logit
    assert logit.dtype == tf.float32
    np.testing.assert_allclose(logit, exact.forward(some_ids()).logit, atol=0.05)


def test_load_weights_fall_with_the_step_counter():
    weights = {"expert_load_weight": 0.5, "depth_load_weight": 0.25, "num_layers": 1}
    constant = small_model(**weights)
    even = small_model(**weights, load_anneal_steps=10)
    stepped = small_model(**weights, load_schedule={"values": (3, 0), "boundaries": (7,)})
    for step, share, factor in ((0, 1.0, 3.0), (4, 0.6, 3.0), (7, 0.3, 0.0), (30, 0.0, 0.0)):
        for model in (constant, even, stepped):
            model.step.assign(step)
        terms, fallen, of_stepped = (model.forward(some_ids()).terms for model in (constant, even, stepped))
        for name in ("expert_distribution", "depth_distribution"):
            np.testing.assert_allclose(fallen[name], share * terms[name], rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(of_stepped["expert_distribution"], factor * terms["expert_distribution"], rtol=1e-5)
    # The prediction does not depend on it, so it does not put off the best checkpoint.
    assert even.annealing_steps() == stepped.annealing_steps() == 0
    again = AdaEnsemble.from_config(json.loads(json.dumps(stepped.get_config())))
    assert again.load_factor.values == (3, 0) and again.load_factor.boundaries == (7,)


def test_schedules_of_gates_follow_the_models_steps(tmp_path):
    schedule = {"values": (9.0, 0.05), "boundaries": (6,)}
    model = small_model(num_layers=1, gate={"reduction": 2, "temperature_schedule": schedule, "threshold": None})
    assert model.annealing_steps() == 6
    before = model.forward(some_ids()).reports
    model.step.assign(6)
    after = model.forward(some_ids()).reports
    for place in ("layer_1", "depth"):
        assert float(before[place].temperature) == 9.0 and float(after[place].temperature) == pytest.approx(0.05)
    # The counter is saved with the weights, so a loaded model is where training was.
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(some_ids()), model(some_ids()))
    assert float(again.forward(some_ids()).reports["depth"].temperature) == pytest.approx(0.05)


def test_views_of_each_expert():
    """Identity maps change nothing; own tables do not touch gates and residuals."""
    shared, linear = small_model(), small_model(expert_embeddings="linear")
    np.testing.assert_allclose(linear(some_ids()), shared(some_ids()), rtol=1e-4, atol=1e-6)
    assert float(linear.forward(some_ids()).flops) == float(shared.forward(some_ids()).flops) + 32 * 2 * 3 * 40 * 4
    own = small_model(expert_embeddings="own", embedding_normalization="none")
    assert [v.path for v in own.embedding_variables] == [f"embedding{n}/table" for n in ("", "_1", "_2", "_3")]
    x0, gates = own.features(some_ids()), own.gates(some_ids())
    np.testing.assert_array_equal(x0[:, 80:120], own.expert_embeddings[1](some_ids()))
    own.expert_embeddings[1].table.assign(own.embedding.table)
    for name, values in own.gates(some_ids()).items():
        np.testing.assert_array_equal(values, gates[name])
    cross = own.moe_layers[0].experts[1]
    x0 = own.embedding(some_ids())
    np.testing.assert_allclose(own.expert_outputs(some_ids())["layer_1"][1], cross(x0, x0), rtol=1e-4, atol=1e-5)


def test_summed_exits_and_heads():
    model = small_model(exits="summed", initial_logit=-1.0, head_units=(3,))
    assert [float(e.bias) for e in model.estimators] == [-1.0, 0.0, 0.0]
    for estimator in model.estimators:
        estimator.kernel.assign(tf.zeros_like(estimator.kernel))
        estimator.mlp_kernel.assign(tf.zeros_like(estimator.mlp_kernel))
        estimator.bias.assign(1.0)
    forward = model.forward(some_ids())
    np.testing.assert_allclose(forward.logit, tf.argmax(forward.exit_gates, axis=1) + 1)
    assert all(e.trainable for e in small_model(exits="summed", depth_objective="none").estimators)


def test_initial_embeddings():
    def table(**arguments):
        return AdaEnsemble(num_rows=4000, num_fields=3, dimension=4, num_layers=1, **arguments).embedding.table.numpy()

    assert table().std() == pytest.approx(0.01, rel=0.05)
    assert table(embedding_scale=0.2).std() == pytest.approx(0.2, rel=0.05)
    assert table(embedding_scale=None).std() == pytest.approx(0.5, rel=0.05)
    truncated = table(embedding_scale=None, embedding_truncated=True)
    # Within two standard deviations of 1 / sqrt(4); a normal so cut has .88 of its standard deviation.
    assert 0.99 < np.abs(truncated).max() <= 1.0 and truncated.std() == pytest.approx(0.44, rel=0.05)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"normalization": "post"}, "normalization must be 'batch', 'layer', 'none' or 'pre'; received 'post'"),
        ({"embedding_normalization": "pre"}, "embedding_normalization must be .* or 'none'; received 'pre'"),
        ({"expert_scale": "2"}, "expert_scale must be 'none', .* or 'learned'; received '2'"),
        ({"expert_scale": "k", "dispatcher": "bit_fusion"}, "expert_scale must be 'none' with dispatcher 'bit_fusion'"),
        ({"shared_expert": "crss"}, "shared_expert must be among attention, .* received 'crss'"),
        ({"head_units": (0,)}, r"head_units must be whole numbers of at least 1; received \[0\]"),
        ({"exits": "sum"}, "exits must be 'own' or 'summed'; received 'sum'"),
        ({"expert_embeddings": "each"}, "expert_embeddings must be 'shared', 'linear' or 'own'; received 'each'"),
        ({"gate": {"l2": -1.0}}, "gate.l2 must be a finite number of at least 0; received -1.0"),
        ({"load_schedule": 3}, "load_schedule must map names to values, or be None; received 3"),
        ({"load_schedule": {"values": (1,), "steps": (3,)}}, "load_schedule must map 'values' to numbers and"),
        ({"load_anneal_steps": 3, "load_schedule": {"values": (1,)}}, "load_anneal_steps must be 0 together with"),
        ({"embedding_scale": 0.0}, "embedding_scale must be a finite number above 0, or be None; received 0.0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**arguments)
