import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import GeneralizedInteractionExpert


def looped_interaction(w: dict, x0: np.ndarray, x: np.ndarray, num_fields: int) -> np.ndarray:
    """The public implementations' form: a weighted sum of outer products, masked by a matrix, row sums taken."""
    subspaces = w["pair_kernel"].shape[2]
    outputs = []
    for row0, row in zip(x0.astype(float), x.astype(float), strict=True):
        fields0, fields = row0.reshape(num_fields, -1), row.reshape(num_fields, -1)
        features = []
        for s in range(subspaces):
            total = 0
            for i in range(num_fields):
                for j in range(num_fields):
                    total = total + w["pair_kernel"][i, j, s] * np.outer(fields0[j], fields[i])
            features.append((w["operation_kernel"][:, s].T * total).sum(axis=1))
        outputs.append(np.concatenate(features) @ w["project/kernel"] + w["project/bias"])
    return np.array(outputs)


def test_output_by_hand():
    expert = GeneralizedInteractionExpert(2, subspaces=1)
    expert.build((None, 2), (None, 2))
    expert.operation.assign([[[2]]])
    expert.pair_weights.assign([[[1], [10]], [[0], [100]]])
    expert.project.kernel.assign([[1, -1]])
    expert.project.bias.assign([0, 5])
    x0 = np.array([[1, 2], [1, 0]], np.float32)
    x = np.array([[3, 5], [3, 5]], np.float32)
    # Row 0: 2 (3 * 1 + 10 * 3 * 2 + 100 * 5 * 2) = 2126. Row 1: 2 * 3 * 1.
    assert expert(x0, x).numpy().tolist() == [[2126, -2121], [6, -1]]


@pytest.mark.parametrize(("num_fields", "dimension", "subspaces"), [(4, 3, 2), (2, 5, 1), (3, 1, 4)])
def test_output_agrees_with_loops(num_fields, dimension, subspaces):
    expert = GeneralizedInteractionExpert(num_fields, subspaces)
    x0, x = np.random.default_rng(0).normal(size=(2, 3, num_fields * dimension)).astype(np.float32)
    expert(x0, x)
    weights = random_weights(expert)
    expected = looped_interaction(weights, x0, x, num_fields)
    np.testing.assert_allclose(expert(x0, x), expected, rtol=1e-4, atol=1e-4)


def test_starts_as_element_wise_products_of_unit_scale():
    expert = GeneralizedInteractionExpert(20, subspaces=3)
    expert.build((None, 80), (None, 80))
    for s in range(3):
        np.testing.assert_array_equal(expert.operation.numpy()[:, s], np.eye(4))
    expert.project.kernel.assign(np.eye(12, 80))
    x0, x = np.random.default_rng(0).normal(size=(2, 1000, 80)).astype(np.float32)
    np.testing.assert_allclose(expert(x0, x).numpy()[:, :12].std(axis=0), 1, atol=0.3)


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = GeneralizedInteractionExpert(3, subspaces=2)
        x0, x = np.random.default_rng(0).normal(size=(2, 2, 6))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


def test_config_round_trip():
    loaded = config_round_trip(GeneralizedInteractionExpert(5, subspaces=3))
    assert (loaded.num_fields, loaded.subspaces) == (5, 3)


def test_flops_by_hand():
    expert = GeneralizedInteractionExpert(3, subspaces=5)
    expert.build((None, 6), (None, 6))
    # Five subspaces: three 2 x 2 products, 3 x 3 for both dimensions, six products summed. 10 -> 6.
    assert expert.flops() == 5 * 2 * (12 + 18 + 6) + 2 * 10 * 6


def test_no_subspace_is_refused():
    with pytest.raises(ValueError, match="subspaces must be a whole number of at least 1; received 0"):
        GeneralizedInteractionExpert(5, subspaces=0)


def test_flops_of_the_defaults_at_criteos_size():
    # Eight subspaces: D x D for each field, F x F for each dimension, F D products summed; 8 D -> M.
    assert default_megaflops("generalized_interaction") == pytest.approx(
        (8 * 2 * (39 * 16 * 16 + 39 * 39 * 16 + 39 * 16) + 2 * 128 * 624) / 1e6, abs=0.0006
    )
