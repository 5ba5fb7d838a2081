import keras
import numpy as np
import pytest
import tensorflow as tf
from model_checks import (
    FIELDS,
    INPUTS,
    PLAIN,
    PLAIN_INPUTS,
    assert_forward_is,
    check_model,
    randomize,
    reference_estimator,
    reference_normalization,
)

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.models import DNN, HiLoMoE


def small_model(**arguments) -> HiLoMoE:
    sizes = {"dimension": 4, "hidden_units": (6, 5), "num_layers": 2, "rank_experts": 3, "query_rank": 2}
    return HiLoMoE(**(sizes | arguments))


def reference_layer(weights, name, x, levels=2, experts=3):
    q = x @ weights[f"{name}/query_in"] @ weights[f"{name}/query_out"]
    y = x @ weights[f"{name}/base/kernel"] + weights[f"{name}/base/bias"]
    for v, u in zip(
        np.split(weights[f"{name}/keys"].T, levels), np.split(weights[f"{name}/output_kernel"], levels), strict=True
    ):
        assert len(v) == len(u) == experts
        s = np.exp(q @ v.T / np.sqrt(x.shape[1]))
        s /= s.sum(axis=1, keepdims=True)
        y = y + (s * (x @ v.T)) @ u
        q = q + s @ v
    return y


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("parallel", [True, False])
def test_forward_is_the_numpy_network(rows, parallel):
    def reference(weights, fields):
        x = reference_normalization(weights, "normalize", fields["embedding"].reshape(-1, 12))
        for i in (1, 2):
            x = reference_normalization(weights, f"normalize_{i}", reference_layer(weights, f"layer_{i}", x))
            x = np.maximum(x, 0.0)
        return reference_estimator(weights, x)

    assert_forward_is(small_model(**rows, parallel=parallel, k=0), reference)


def test_what_every_model_does(tmp_path):
    # W0 and U of two layers, and the estimator's.
    check_model(lambda **arguments: small_model(**arguments, k=2), tmp_path, kernels=5)


def test_it_starts_as_a_dnn_of_the_same_sizes():
    model = small_model(**FIELDS, embedding_normalization="none")
    dnn = DNN(**FIELDS, dimension=4, hidden_units=(6, 5))
    of_dnn = randomize(dnn)
    for weight in model.weights:
        path = weight.path.removeprefix("hilomoe/")
        for i in "12":
            path = path.replace(f"layer_{i}/base", f"mlp/dense_{i}")
            path = path if "mlp" in path else path.replace(f"normalize_{i}", f"mlp/normalize_{i}")
        if path in of_dnn:
            weight.assign(of_dnn.pop(path))
    assert of_dnn == {}
    np.testing.assert_array_equal(model.forward(INPUTS).logit, dnn.forward(INPUTS).logit)


def test_dropout_is_for_training_only():
    # Seeded: with few units, two draws can drop the same ones.
    keras.utils.set_random_seed(0)
    model = small_model(**FIELDS, dropout=0.5, normalization="none")
    randomize(model)
    logits = [model.forward(INPUTS, training=training).logit.numpy() for training in (False, False, True, True)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert not np.array_equal(logits[2], logits[3])


def test_flops_by_hand():
    def layer(x, h):
        return 2 * x * h + 2 * x * (6 + 2) + 2 * 2 * 6 + 2 * 9 + 6 + 2 * 6 * h

    per_row = layer(12, 6) + layer(6, 5) + 2 * 5
    per_batch = 2 * 12 * 6 * (6 + 2) + 2 * 6 * 6 * (6 + 2)
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * per_row + per_batch
    sequential = small_model(**PLAIN, parallel=False)
    of_loop = sum(2 * x * h + 2 * 2 * x * 2 + 2 * 5 * x * 3 + 6 + 2 * 6 * h for x, h in ((12, 6), (6, 5))) + 2 * 5
    assert float(sequential.forward(PLAIN_INPUTS).flops) == 4 * of_loop


@pytest.mark.parametrize("fields, least", [(39, 0.185), (22, 0.2)])
def test_defaults_spend_fewer_flops_than_the_base_of_defaults(fields, least):
    """The abstract claims 18.5 % fewer; the defaults match that at Criteo's 39 fields and save more at 22."""
    ids = tf.zeros([4096, fields], tf.int32)
    flops = []
    for model in (HiLoMoE, DNN):
        arguments = config_for(model.registered_name).model.to_dict()
        arguments = {k: v for k, v in arguments.items() if k not in ("name", "stage_epochs")}
        flops.append(float(model(num_rows=2, num_fields=fields, **arguments).forward(ids).flops))
    assert least < 1 - flops[0] / flops[1] < least + 0.02


def test_at_equal_widths_the_experts_only_add_flops():
    """What the docstring says of 39 fields, D = 16 and (400, 400, 400)."""
    ids, sizes = tf.zeros([4096, 39], tf.int32), {"dimension": 16, "hidden_units": (400, 400, 400)}
    model, base = (cls(num_rows=2, num_fields=39, **sizes) for cls in (HiLoMoE, DNN))
    assert float(model.forward(ids).flops / base.forward(ids).flops) == pytest.approx(1.133, abs=0.001)


def test_auxiliary_losses_by_hand():
    model = small_model(**PLAIN, expert_load_weight=0.5, z_weight=0.25, stage_steps=(2, 3))
    randomize(model)
    model.step.assign(2)
    forward = model.forward(PLAIN_INPUTS)
    places = ["layer_1/level_1", "layer_1/level_2", "layer_2/level_1", "layer_2/level_2"]
    assert list(forward.reports) == places == list(model.choice_names())
    reports = forward.reports.values()
    balance = sum(3 * float(tf.reduce_sum(r.load * r.probability)) for r in reports)
    np.testing.assert_allclose(forward.terms["expert_distribution"], 0.5 * balance, rtol=1e-5)
    np.testing.assert_allclose(forward.terms["router_z"], 0.25 * sum(float(r.z) for r in reports), rtol=1e-5)
    # The routers of the first stage are frozen: their losses must not reach the base.
    model.step.assign(1)
    assert [float(term) for term in model.forward(PLAIN_INPUTS).terms.values()] == [0.0, 0.0]
    assert small_model(**PLAIN, expert_load_weight=0.0, z_weight=0.0).forward(PLAIN_INPUTS).terms == {}


def test_stages_share_the_weights_out():
    assert small_model(**PLAIN).stages() == () and small_model(**PLAIN).annealing_steps() == 0
    model = small_model(**PLAIN, stage_steps=(4, 6), final_learning_rate_factor=0.2)
    base, experts, last = model.stages()
    assert (base.steps, experts.steps, last.learning_rate_factor) == (4, 6, 0.2)
    names = {v.path.split("/")[-1] for v in base.frozen}
    assert names == {"keys", "query_in", "query_out", "output_kernel"} and len(base.frozen) == 8
    ids = [id(v) for v in (*base.frozen, *experts.frozen)]
    assert sorted(ids) == sorted(map(id, model.trainable_variables)) and last.frozen == ()
    assert model.annealing_steps() == 10
    # Routers are weights, so there is no bi-level training.
    assert model.gate_variables == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"hidden_units": ()}, "hidden_units must be one or more whole numbers of at least 1"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\); received 1.0"),
        ({"stage_steps": (1,)}, r"stage_steps must be the lengths of stages 1 and 2, .* received \[1\]"),
        ({"stage_steps": (1, -1)}, r"stage_steps must be whole numbers of at least 0; received \[1, -1\]"),
        (
            {"final_learning_rate_factor": 0.0},
            "final_learning_rate_factor must be a finite number above 0; received 0.0",
        ),
        ({"k": 4}, "k must lie between 1 and the 3 experts, or be 0 for all; received 4"),
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1; received 0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
