import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.gates import GATES, make_gate

X0 = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)


def following(name: str, **options):
    """A gate and the step counter that it goes by."""
    keras.utils.set_random_seed(4)
    gate, step = make_gate(name, 4, seed=1, reduction=2, **options), keras.Variable(0, dtype="int64")
    gate.follow(step)
    gate.build(X0.shape)
    return gate, step


def same(one, other, **modes):
    for gate in (one, other):
        gate.noise_seed.state.assign([3, 0])
    results = (gate(X0, k=2, **modes) for gate in (one, other))
    for ours, expected in zip(*map(tf.nest.flatten, results), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(GATES) - {"dselect_k"}))
def test_noise_at_each_step_is_that_of_a_constant(name):
    gate, step = following(name, noise_schedule={"values": [0.8, 0.3, 0.0], "boundaries": [5, 9]})
    for at, noise in ((0, 0.8), (5, 0.3), (8, 0.3), (9, 0.0)):
        step.assign(at)
        # A gate without noise has no weight for it, so the constant is as good as none.
        constant, _ = following(name, noise=max(noise, 1e-9))
        same(gate, constant, training=True)
    assert gate.annealing_steps() == 0


@pytest.mark.parametrize("name", GATES)
def test_temperature_by_schedule_is_not_learned(name):
    gate, step = following(name, noise=0.0, temperature_schedule={"values": [2.0, 0.25], "boundaries": [5]})
    assert not any("temperature" in v.path for v in gate.weights) and gate.annealing_steps() == 5
    for at, temperature in ((4, 2.0), (5, 0.25)):
        step.assign(at)
        constant, _ = following(name, noise=0.0, initial_temperature=temperature)
        same(gate, constant)
        assert float(gate(X0, k=2)[1].temperature) == temperature


def test_threshold_by_schedule():
    gate, step = following("gumbel_threshold", threshold_schedule={"values": [0.9, 0.0], "boundaries": [5]})
    assert gate(X0, k=3)[1].routed.numpy().sum() == pytest.approx(1.0)
    step.assign(5)
    assert gate(X0, k=3)[1].routed.numpy().sum() == pytest.approx(3.0) and gate.annealing_steps() == 5


def test_entropy_weight_by_schedule():
    gate, step = following("dselect_k", entropy_schedule={"values": [0.5, 0.0], "boundaries": [5]}, unused_weight=0.0)
    constant, _ = following("dselect_k", entropy_weight=0.5, unused_weight=0.0)
    assert float(gate(X0, k=2)[1].penalty) == pytest.approx(float(constant(X0, k=2)[1].penalty)) != 0.0
    step.assign(5)
    assert float(gate(X0, k=2)[1].penalty) == 0.0 and gate.annealing_steps() == 0


def test_config_keeps_schedules_and_a_gate_alone_has_the_last_value():
    gate, _ = following("gumbel_threshold", threshold_schedule={"values": (0.9, 0.0), "boundaries": (5,)})
    again = type(gate).from_config(json.loads(json.dumps(gate.get_config())))
    assert again.get_config() == json.loads(json.dumps(gate.get_config()))
    assert again.scheduled("threshold") == 0.0


@pytest.mark.parametrize(
    "name, options, message",
    [
        (
            "noisy_cosine",
            {"noise_schedule": {"values": [2.0]}},
            r"noise_schedule must have values each of which must lie in \[0,",
        ),
        ("noisy_cosine", {"noise_schedule": 0.5}, "noise_schedule must map names to values, or be None; received 0.5"),
        (
            "noisy_top_k",
            {"temperature_schedule": {"values": [0.0]}},
            "temperature_schedule must have values each of which must be",
        ),
        (
            "noisy_top_k",
            {"temperature_schedule": {"value": [1.0]}},
            "temperature_schedule must map 'values' to numbers",
        ),
        ("gumbel_threshold", {"threshold_schedule": {"values": [1.0]}}, "threshold_schedule must have values"),
        (
            "dselect_k",
            {"entropy_schedule": {"values": [1, -1], "boundaries": [3]}},
            "entropy_schedule must have values",
        ),
        ("noisy_cosine", {"threshold_schedule": {"values": [0.1]}}, "has no option threshold_schedule; it has"),
    ],
)
def test_wrong_schedules(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_gate(name, 3, **options)
