import pytest

from ada_ensemble_tf.moe import annealing_schedules
from ada_ensemble_tf.moe.schedule import StepSchedule


def test_both_fall_evenly():
    k, depth = annealing_schedules(num_experts=4, num_layers=3, k=2, anneal_steps=8)
    assert (k.values, k.boundaries) == ((4, 3, 2), (4, 8))
    assert (depth.values, depth.boundaries) == ((3, 2, 1), (4, 8))


def test_own_ones_take_their_place():
    own_k, own_depth = StepSchedule([3, 1], [5]), StepSchedule([2, 1], [9])
    assert annealing_schedules(3, 2, 1, 0, own_k, own_depth) == (own_k, own_depth)
    k, depth = annealing_schedules(3, 2, 1, 2, depth_schedule=own_depth)
    assert k.values == (3, 2, 1) and depth is own_depth


@pytest.mark.parametrize(
    "k_schedule, depth_schedule, message",
    [
        (StepSchedule([4, 2], [5]), None, r"k_schedule must keep at most the 3 experts; received \[4, 2\]"),
        (None, StepSchedule([3, 1], [5]), r"must stay within 2 layers and end in 1; received \[3, 1\]"),
        (None, StepSchedule([1, 2], [5]), r"must stay within 2 layers and end in 1; received \[1, 2\]"),
    ],
)
def test_wrong_schedules(k_schedule, depth_schedule, message):
    with pytest.raises(ValueError, match=message):
        annealing_schedules(3, 2, 1, 10, k_schedule, depth_schedule)
