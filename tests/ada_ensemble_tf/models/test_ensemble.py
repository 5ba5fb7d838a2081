import json

import keras
import numpy as np
import pytest
from model_checks import FIELDS, INPUTS, LABELS, PLAIN, PLAIN_INPUTS, check_model, randomize

from ada_ensemble_tf.models import Ensemble, SingleExpert
from ada_ensemble_tf.optimizers import GroupFtrl

EXPERTS = ("cross", "polynomial", "dense")


def small_model(**arguments) -> Ensemble:
    return Ensemble(**({"dimension": 4, "num_layers": 2, "experts": EXPERTS} | arguments))


def alone(member: SingleExpert) -> SingleExpert:
    """A separate model with the weights of a member."""
    model = SingleExpert.from_config(member.get_config())
    model.set_weights(member.get_weights())
    return model


@pytest.mark.parametrize("rows, inputs", [(FIELDS, INPUTS), (PLAIN, PLAIN_INPUTS)], ids=["fields", "plain"])
def test_prediction_is_the_mean_of_the_members(rows, inputs):
    model = small_model(**rows)
    randomize(model)
    members = [alone(member) for member in model.members]
    assert [member.get_config()["expert"] for member in members] == list(EXPERTS)
    mean = np.mean([member(inputs) for member in members], axis=0)
    np.testing.assert_allclose(model(inputs), mean, rtol=1e-5)
    forward = model.forward(inputs)
    np.testing.assert_allclose(forward.logit, np.log(mean / (1 - mean)), rtol=1e-4, atol=1e-5)
    assert float(forward.flops) == sum(float(member.forward(inputs).flops) for member in members)


def test_members_may_be_of_one_kind_with_options():
    model = small_model(**FIELDS, experts=("cross", {"name": "cross", "diag_scale": 0.5}), num_layers=1)
    assert [member.name for member in model.members] == ["member_cross", "member_cross_2"]
    assert model.members[1].experts[0].diag_scale == 0.5 and model.members[1].experts[0].name == "cross_1"
    terms = model.objective(model.forward(INPUTS, training=True), LABELS)
    assert {"log_loss_cross", "log_loss_cross_2"} <= terms.keys()
    config = json.loads(json.dumps(model.get_config()))
    assert config["experts"] == ["cross", {"name": "cross", "diag_scale": 0.5}]
    assert Ensemble.from_config(config).get_config() == config


def test_far_logits_stay_finite():
    model = small_model(**PLAIN)
    for member, bias in zip(model.members, (300.0, 300.0, 310.0), strict=True):
        member.estimator.bias.assign(bias)
    logit = model.forward(PLAIN_INPUTS).logit
    assert np.isfinite(logit).all() and (logit.numpy() > 290).all()


def test_members_train_as_if_alone():
    l2 = 0.3
    model = small_model(**FIELDS, l2=l2, num_layers=1)
    randomize(model)
    members = [alone(member) for member in model.members]
    for each in (model, *members):
        each.compile(GroupFtrl(0.05, l1=0.0, keep_initial=True), keras.optimizers.Adam(0.01))
    for member in members:
        member.l2 = l2
    for _ in range(3):
        logs = model.training_logs((INPUTS, LABELS))
        for member in members:
            member.training_logs((INPUTS, LABELS))
    for together, member in zip(model.members, members, strict=True):
        for one, other in zip(together.variables, member.variables, strict=True):
            if not one.path.endswith("step"):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=one.path)
    # The report is that of the mean prediction.
    assert set(logs) >= {"log_loss", "log_loss_cross", "log_loss_polynomial", "log_loss_dense"}
    terms = [float(value) for name, value in logs.items() if name.startswith("log_loss_") or name == "l2"]
    assert float(logs["loss"]) == pytest.approx(sum(terms), rel=1e-5)
    assert float(logs["log_loss"]) < max(terms)


def test_what_every_model_does(tmp_path):
    model = small_model(**FIELDS, initial_logit=-1.0)
    assert [float(member.estimator.bias) for member in model.members] == [-1.0] * 3
    check_model(lambda **arguments: small_model(**arguments, experts=("cross",)), tmp_path, kernels=3)


def test_saved_with_all_members(tmp_path):
    model = small_model(**PLAIN)
    model.compile(GroupFtrl(), keras.optimizers.Adam())
    randomize(model)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(PLAIN_INPUTS), model(PLAIN_INPUTS))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"experts": ()}, "experts must be one or more experts"),
        ({"experts": (("cross",), ("dense",))}, 'experts must be names, mappings of a "name" and options, or experts'),
        (
            {"experts": ("cross", {"name": "cin", "maps": 1})},
            "experts.cin.maps must be left out: .* it has feature_maps",
        ),
        ({"experts": ("oracle",)}, "experts must be among attention, .*; received 'oracle'"),
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1; received 0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
