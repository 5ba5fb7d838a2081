"""Learning-rate schedules by the numbers, in all optimisers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ftrl_tables import ROWS, SETTINGS, WIDTH, batches

from ada_ensemble_tf.optimizers import OPTIMIZERS, Ftrl, GroupFtrl, Schedule, make_optimizer


def rates(steps: int, *arguments) -> list[float]:
    return [float(Schedule(*arguments)(step)) for step in range(steps)]


def test_warm_up_and_decays_by_hand():
    np.testing.assert_allclose(rates(6, 1.0, "constant", 4), [0.25, 0.5, 0.75, 1, 1, 1])
    half, quarter = 0.2 + 0.8 * 0.5, 0.2 + 0.8 * (1 + 0.5**0.5) / 2
    cosine = [0.5, 1.0, 1.0, quarter, half, 0.2 + 0.8 * (1 - 0.5**0.5) / 2, 0.2, 0.2]
    np.testing.assert_allclose(rates(8, 1.0, "cosine", 2, 4, 0.2), cosine, rtol=1e-6)
    np.testing.assert_allclose(rates(4, 3.0, "exponential", 0, 2, 0.01), [3.0, 0.3, 0.03, 0.03], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linear",), "schedule.name must be one of constant, cosine, exponential; received 'linear'"),
        (("cosine",), "schedule.decay_steps must be at least 1 for schedule.name='cosine'; received 0"),
        (("constant", 0, 5), "schedule.decay_steps=5 has no effect with schedule.name='constant': name a decay"),
        (("constant", -1), "must be at least 0; received -1 and 0"),
        (("cosine", 0, 5, 0.0), r"schedule.final must lie in \(0, 1\]; received 0.0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Schedule(0.1, *arguments)


def test_without_a_change_the_rate_is_a_plain_number():
    optimizer = make_optimizer("adam", schedule={"name": "constant", "final": 0.5}, learning_rate=0.25)
    assert optimizer.get_config() == make_optimizer("adam", learning_rate=0.25).get_config()


def test_an_unknown_argument_is_named():
    with pytest.raises(ValueError, match="optimizer 'adam': .*'steps'"):
        make_optimizer("adam", schedule={"steps": 3}, learning_rate=0.25)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_each_optimizer_makes_the_steps_of_its_schedule(name):
    """The first step, when FTRL's rates so far are one, equals that of a constant optimiser at the scheduled rate."""
    schedule = {"name": "exponential", "warmup_steps": 2, "decay_steps": 3, "final": 0.1}
    scheduled = make_optimizer(name, schedule=schedule, learning_rate=0.5)
    constant = make_optimizer(name, learning_rate=0.25)
    tables = [keras.Variable(np.full((4, 2), 0.5, np.float32)) for _ in range(2)]
    for optimizer, one in zip((scheduled, constant), tables, strict=True):
        optimizer.apply([tf.IndexedSlices(tf.ones([2, 2]), tf.constant([1, 3]), tf.constant([4, 2]))], [one])
    np.testing.assert_allclose(*tables, rtol=1e-6)
    loaded = keras.optimizers.deserialize(keras.optimizers.serialize(scheduled))
    assert loaded.get_config() == scheduled.get_config()
    np.testing.assert_allclose(float(scheduled.learning_rate), 0.5)


@pytest.mark.parametrize("kind", [Ftrl, GroupFtrl])
def test_ftrl_with_a_changing_rate_is_proximal_ftrl_with_per_step_rates(kind):
    """McMahan et al., algorithm 1, with 1 / eta_t = (beta + sqrt(n_t)) / rate_t, in float64 with each row's own s."""
    beta, l1, l2 = (SETTINGS[key] for key in ("beta", "l1", "l2"))
    schedule = Schedule(0.1, "cosine", 5, 20, 0.05)
    ours = keras.Variable(np.zeros((ROWS, WIDTH), np.float32), name="table")
    optimizer = kind(schedule, beta, l1, l2)
    optimizer.build([ours])
    w, z, n = (v.numpy().astype(np.float64) for v in (ours, *optimizer.slots(ours)))
    last = np.full(ROWS, float(schedule(0)))
    for step, (ids, gradients) in enumerate(batches(30, 5)):
        gradient = tf.IndexedSlices(tf.constant(gradients), tf.constant(ids), tf.constant([ROWS, WIDTH]))
        optimizer.apply([gradient], [ours])
        rate = float(schedule(step))
        for row in np.unique(ids):
            g = gradients[ids == row].astype(np.float64).sum(axis=0)
            new_n = n[row] + g**2
            sigma = (beta + np.sqrt(new_n)) / rate - (beta + np.sqrt(n[row])) / last[row]
            z[row] += g - sigma * w[row]
            n[row], last[row] = new_n, rate
            norm = np.abs(z[row]) if kind is Ftrl else np.full(WIDTH, np.linalg.norm(z[row]))
            threshold = l1 if kind is Ftrl else l1 * WIDTH**0.5
            shrunk = np.where(norm > threshold, z[row] * (1.0 - threshold / np.maximum(norm, 1e-30)), 0.0)
            w[row] = -shrunk / ((beta + np.sqrt(new_n)) / rate + l2)
    assert (w[2:] == 0.0).any() and (w[2:] != 0.0).any()
    np.testing.assert_allclose(ours, w, rtol=1e-3, atol=1e-5)
