import pytest

from ada_ensemble_tf.moe import annealing_schedules, load_factor


def test_both_fall_evenly():
    k, depth = annealing_schedules(num_experts=4, num_layers=3, k=2, anneal_steps=8)
    assert (k.values, k.boundaries) == ((4, 3, 2), (4, 8))
    assert (depth.values, depth.boundaries) == ((3, 2, 1), (4, 8))


def test_own_ones_take_their_place():
    own_k, own_depth = {"values": [3, 1], "boundaries": [5]}, {"values": [2.0, 1.0], "boundaries": [9]}
    k, depth = annealing_schedules(3, 2, 1, 0, own_k, own_depth)
    assert (k.values, k.boundaries, depth.values, depth.boundaries) == ((3, 1), (5,), (2, 1), (9,))
    k, depth = annealing_schedules(3, 2, 1, 2, depth_schedule=own_depth)
    assert k.values == (3, 2, 1) and depth.boundaries == (9,)


@pytest.mark.parametrize(
    "k_schedule, depth_schedule, message",
    [
        ({"values": [4, 2], "boundaries": [5]}, None, r"k_schedule must keep at most the 3 experts; received \[4, 2\]"),
        ({"values": [2.5, 1], "boundaries": [5]}, None, "k_schedule must have whole values; received"),
        ({"values": [1, 0], "boundaries": [5]}, None, "k_schedule must have values each of which must be .* above 0"),
        (None, {"values": [3, 1], "boundaries": [5]}, r"must stay within 2 layers and end in 1; received \[3, 1\]"),
        (None, {"values": [1, 2], "boundaries": [5]}, r"must stay within 2 layers and end in 1; received \[1, 2\]"),
    ],
)
def test_wrong_schedules(k_schedule, depth_schedule, message):
    with pytest.raises(ValueError, match=message):
        annealing_schedules(3, 2, 1, 10, k_schedule, depth_schedule)


def test_load_factor():
    assert load_factor(0, None) is None
    assert [float(load_factor(40, None)(step)) for step in (0, 10, 39, 40, 50)] == pytest.approx([1, 0.75, 0.025, 0, 0])
    schedule = load_factor(0, {"values": [2, 0.5, 0], "boundaries": [10, 20]})
    assert [float(schedule(step)) for step in (0, 9, 10, 19, 20, 99)] == [2, 2, 0.5, 0.5, 0, 0]


@pytest.mark.parametrize(
    "anneal_steps, schedule, message",
    [
        (5, {"values": [1.0]}, "load_anneal_steps must be 0 together with load_schedule; received 5"),
        (0, {"values": [1.0, 0.0]}, r"load_schedule must map 'values' to numbers and 'boundaries' to .* received \{"),
        (0, {"value": [1.0]}, "load_schedule must map 'values'"),
        (0, {"values": [1.0, 0.5, 0.0], "boundaries": [20, 10]}, "load_schedule must map .* increasing"),
        (
            0,
            {"values": [1.0, -0.5], "boundaries": [10]},
            "load_schedule must have values each of which must be a finite number of at least 0; received",
        ),
    ],
)
def test_wrong_load_factors(anneal_steps, schedule, message):
    with pytest.raises(ValueError, match=message):
        load_factor(anneal_steps, schedule)
