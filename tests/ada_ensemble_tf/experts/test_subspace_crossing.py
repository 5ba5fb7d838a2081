import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import PolynomialExpert, SubspaceCrossingExpert


def test_output_by_hand():
    expert = SubspaceCrossingExpert(1, subspaces=2)
    expert.build((None, 4), (None, 4))
    assert len(expert.weights) == 1, "there is no bias"
    expert.kernel.assign([[1, 0], [10, 100]])
    x0 = np.array([[1, 2, 3, 4]], np.float32)
    x = np.array([[1, 1, 1, -1]], np.float32)
    # The field's pieces are (1, 2) and (3, 4); the first is crossed with (1, 2) + 10 (3, 4), the second 100 (3, 4).
    assert expert(x0, x).numpy().tolist() == [[31, 42, 300, -400]]


@pytest.mark.parametrize("subspaces", [1, 2, 3, 6])
def test_output_agrees_with_stacked_subspaces(subspaces):
    """The paper's order: all fields' first pieces, then all second ones, and so on."""
    fields, size = 4, 6 // subspaces
    expert = SubspaceCrossingExpert(fields, subspaces)
    x0, x = np.random.default_rng(0).normal(size=(2, 3, fields * 6)).astype(np.float32)
    expert(x0, x)
    kernel = random_weights(expert)["kernel"]

    def stacked(a):
        return np.concatenate(np.split(a.reshape(3, fields, 6), subspaces, axis=2), axis=1)

    order = [field * subspaces + piece for piece in range(subspaces) for field in range(fields)]
    crossed = stacked(x) * np.einsum("bpd,pq->bqd", stacked(x0), kernel[order][:, order])
    assert crossed.shape == (3, fields * subspaces, size)
    np.testing.assert_allclose(stacked(expert(x0, x).numpy()), crossed, rtol=1e-4, atol=1e-5)


def test_pieces_of_one_element_are_the_polynomial_expert():
    crossing, polynomial = SubspaceCrossingExpert(4, subspaces=3), PolynomialExpert(4)
    x0, x = np.random.default_rng(0).normal(size=(2, 5, 12)).astype(np.float32)
    for expert in (crossing, polynomial):
        expert(x0, x)
        random_weights(expert)
    np.testing.assert_allclose(crossing(x0, x), polynomial(x0, x), rtol=1e-4, atol=1e-5)


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = SubspaceCrossingExpert(2)
        x0, x = np.random.default_rng(0).normal(size=(2, 3, 8))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


def test_config_round_trip():
    loaded = config_round_trip(SubspaceCrossingExpert(3, subspaces=4))
    assert (loaded.num_fields, loaded.subspaces) == (3, 4)


def test_flops_by_hand():
    expert = SubspaceCrossingExpert(3, subspaces=2)
    expert.build((None, 12), (None, 12))
    # Six pieces of two elements.
    assert expert.flops() == 2 * 6 * 6 * 2 + 12


def test_subspaces_that_do_not_divide_a_field_are_refused():
    with pytest.raises(ValueError, match="subspaces must divide D=4; received 3"):
        SubspaceCrossingExpert(2, subspaces=3).build((None, 8), (None, 8))


def test_no_subspace_is_refused():
    with pytest.raises(ValueError, match="subspaces must be a whole number of at least 1; received 0"):
        SubspaceCrossingExpert(2, subspaces=0)


def test_flops_of_the_defaults_at_criteos_size():
    # 78 x 78 for each of 8 dimensions, and the products.
    assert default_megaflops("subspace_crossing") == pytest.approx((2 * 78 * 78 * 8 + 624) / 1e6, abs=0.0006)
