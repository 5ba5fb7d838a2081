import math
from itertools import combinations

import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import InteractionMachineExpert


def looped_polynomials(x: np.ndarray, num_fields: int, order: int) -> np.ndarray:
    """All e_k / s_k of rows: every set of k fields, one at a time."""
    outputs = []
    for row in x.astype(float):
        fields = row.reshape(num_fields, -1)
        features = []
        for k in range(1, order + 1):
            sets = list(combinations(range(num_fields), k))
            total = sum(np.prod(fields[list(chosen)], axis=0) for chosen in sets)
            features.append(total / math.sqrt(len(sets)))
        outputs.append(np.concatenate(features))
    return np.array(outputs)


def test_output_by_hand():
    expert = InteractionMachineExpert(2, order=2)
    expert.build((None, 2), (None, 2))
    expert.project.kernel.assign(np.diag([np.sqrt(2), 1]))
    expert.project.bias.assign([0, 10])
    x = np.array([[3, 4], [-1, 5]], np.float32)
    # e_1 is the sum of the two fields, scaled by the root of 2 sets; e_2 their product, the only one.
    np.testing.assert_allclose(expert(np.full_like(x, np.nan), x), [[7, 22], [4, 5]], rtol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_output_agrees_with_a_loop_over_sets(order):
    expert = InteractionMachineExpert(7, order)
    x0, x = np.random.default_rng(0).normal(size=(2, 4, 21)).astype(np.float32)
    expert(x0, x)
    weights = random_weights(expert)
    expected = looped_polynomials(x, 7, order) @ weights["project/kernel"] + weights["project/bias"]
    np.testing.assert_allclose(expert(x0, x), expected, rtol=1e-4, atol=1e-4)


def test_as_many_fields_as_the_order():
    """The last polynomial is the one product of all fields."""
    expert = InteractionMachineExpert(5)
    expert.build((None, 5), (None, 5))
    expert.project.kernel.assign(np.diag([0, 0, 0, 0, 1]))
    x = np.array([[1, 2, 3, 4, 5]], np.float32)
    np.testing.assert_allclose(expert(x, x)[0, 4], 120, rtol=1e-5)


@pytest.mark.parametrize("num_fields", [1, 3])
def test_fewer_fields_than_the_order(num_fields):
    few, full = InteractionMachineExpert(num_fields), InteractionMachineExpert(num_fields, order=num_fields)
    x = np.random.default_rng(0).normal(size=(3, 2 * num_fields)).astype(np.float32)
    for expert in (few, full):
        expert(x, x)
        random_weights(expert)
    np.testing.assert_array_equal(few(x, x), full(x, x))
    assert few.flops() == full.flops()
    assert config_round_trip(few).order == 5


def test_orders_have_the_scale_of_one_product():
    expert = InteractionMachineExpert(39)
    expert.build((None, 78), (None, 78))
    expert.project.kernel.assign(np.eye(10, 78))
    x = np.random.default_rng(0).normal(size=(4000, 78)).astype(np.float32)
    np.testing.assert_allclose(expert(x, x).numpy()[:, :10].std(axis=0), 1, atol=0.3)


def test_large_fields_stay_finite():
    expert = InteractionMachineExpert(39)
    x = np.full((2, 39), 1e6, np.float32)
    assert np.isfinite(expert(x, x)).all()


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = InteractionMachineExpert(6)
        x0, x = np.random.default_rng(0).normal(size=(2, 2, 6))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x, rtol=1e-5, atol=1e-6)


def test_config_round_trip():
    loaded = config_round_trip(InteractionMachineExpert(6, order=3))
    assert (loaded.num_fields, loaded.order) == (6, 3)


def test_flops_by_hand():
    expert = InteractionMachineExpert(3, order=2)
    expert.build((None, 12), (None, 12))
    # 12 squares, two sums of 12, three multiply-adds for each of 4 dimensions, 8 -> 12.
    assert expert.flops() == 12 + 2 * 12 + 2 * 3 * 4 + 2 * 8 * 12


@pytest.mark.parametrize("order", [0, 6])
def test_order_out_of_range_is_refused(order):
    with pytest.raises(ValueError, match=f"order must lie between 1 and 5; received {order}"):
        InteractionMachineExpert(9, order)


def test_flops_of_the_defaults_at_criteos_size():
    # Four powers and five sums of M elements, 15 multiply-adds a dimension, 5 D -> M.
    assert default_megaflops("interaction_machine") == pytest.approx(
        (9 * 624 + 2 * 15 * 16 + 2 * 80 * 624) / 1e6, abs=0.0006
    )
