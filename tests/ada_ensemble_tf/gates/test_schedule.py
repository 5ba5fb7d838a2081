import keras
import pytest
import tensorflow as tf

from ada_ensemble_tf.gates.schedule import StepSchedule, linear_annealing


def test_each_value_holds_until_its_boundary():
    schedule = StepSchedule([7, 3, 5], [10, 20])
    expected = {0: 7, 9: 7, 10: 3, 11: 3, 19: 3, 20: 5, 21: 5, 10**9: 5}
    assert {step: int(schedule(step)) for step in expected} == expected


def test_single_value_holds_always():
    schedule = StepSchedule([2])
    assert [int(schedule(step)) for step in (0, 1, 10**9)] == [2, 2, 2]
    assert (schedule.final, schedule.last_boundary) == (2, 0)


def test_final_value_and_last_boundary():
    schedule = StepSchedule([4, 2, 3], [5, 8])
    assert (schedule.final, schedule.last_boundary) == (3, 8)


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_follows_a_step_counter_within_one_trace(dtype):
    schedule = StepSchedule([3, 2, 1], [1, 2])
    step = tf.Variable(0, dtype=dtype)
    traces = []

    @tf.function(autograph=False)
    def advance():
        traces.append(1)
        value = schedule(step)
        step.assign_add(1)
        return value

    values = [advance() for _ in range(4)]
    assert [int(value) for value in values] == [3, 2, 1, 1]
    assert all(value.dtype == tf.int32 and value.shape == () for value in values)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("values", "boundaries", "message"),
    [
        ([], [], "one value more than it has boundaries"),
        ([1], [5], "one value more than it has boundaries"),
        ([3, 2, 1], [5], "one value more than it has boundaries"),
        ([3, 2, 1], [5, 5], "boundaries must increase"),
        ([3, 2, 1], [6, 5], "boundaries must increase"),
        ([2, 0], [5], "values must be at least 1"),
        ([-1], [], "values must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused(values, boundaries, message):
    with pytest.raises(ValueError, match=message):
        StepSchedule(values, boundaries)


def test_serialisation_round_trip():
    schedule = StepSchedule([4, 2, 1], [10, 30])
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert isinstance(loaded, StepSchedule)
    assert (loaded.values, loaded.boundaries) == ((4, 2, 1), (10, 30))


def test_linear_annealing_by_hand():
    assert linear_annealing(4, 1, 9).get_config() == {"values": (4, 3, 2, 1), "boundaries": (3, 6, 9)}
    # 10 / 3 and 20 / 3, rounded.
    assert linear_annealing(5, 2, 10).get_config() == {"values": (5, 4, 3, 2), "boundaries": (3, 7, 10)}
    assert linear_annealing(3, 1, 2).get_config() == {"values": (3, 2, 1), "boundaries": (1, 2)}


def test_linear_annealing_over_no_steps_or_no_fall_is_constant():
    assert linear_annealing(4, 2, 0).get_config() == {"values": (2,), "boundaries": ()}
    assert linear_annealing(2, 2, 100).get_config() == {"values": (2,), "boundaries": ()}


def test_linear_annealing_reaches_the_final_value_at_the_last_step_for_all_lengths():
    """Rounding never makes two boundaries meet."""
    for count in range(1, 8):
        for steps in range(count, 60):
            schedule = linear_annealing(count + 1, 1, steps)
            assert (schedule.values[0], schedule.final, schedule.last_boundary) == (count + 1, 1, steps)


@pytest.mark.parametrize(
    ("first", "final", "steps", "message"),
    [
        (1, 2, 10, "annealing goes down"),
        (1, 2, 0, "annealing goes down"),
        (5, 1, 3, "needs at least 4 steps; received 3"),
        (5, 1, -1, "needs at least 4 steps; received -1"),
        (3, 0, 10, "values must be at least 1"),
    ],
)
def test_linear_annealing_refuses_wrong_arguments(first, final, steps, message):
    with pytest.raises(ValueError, match=message):
        linear_annealing(first, final, steps)
