import numpy as np
import pytest
from expert_checks import PAIRS, default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import MatrixKernelProductExpert, ScalarKernelProductExpert, VectorKernelProductExpert

KINDS = {"matrix": MatrixKernelProductExpert, "vector": VectorKernelProductExpert, "scalar": ScalarKernelProductExpert}


def looped_products(kernel: np.ndarray, x: np.ndarray, num_fields: int) -> np.ndarray:
    """A row and a pair at a time, the kernel written out as a matrix."""
    outputs = []
    for row in x.astype(float):
        fields = row.reshape(num_fields, -1)
        products = []
        for i in range(num_fields):
            for j in range(i + 1, num_fields):
                one = kernel[len(products)]
                matrix = one if one.ndim == 2 else one * np.eye(fields.shape[1])
                products.append(fields[i] @ matrix @ fields[j])
        outputs.append(products)
    return np.array(outputs)


# One pair of fields (1, 2) and (3, 5); the matrix is read with the first field on its left.
@pytest.mark.parametrize(
    ("kind", "kernel", "product"),
    [
        ("matrix", [[[1, 10], [0, 100]]], 1 * 3 + 10 * 1 * 5 + 100 * 2 * 5),
        ("vector", [[10, 100]], 10 * 3 + 100 * 10),
        ("scalar", [10], 10 * 13),
    ],
)
def test_output_by_hand(kind, kernel, product):
    expert = KINDS[kind](2)
    expert.build((None, 4), (None, 4))
    expert.kernel.assign(kernel)
    expert.project.kernel.assign([[1, 2, 0, -1]])
    expert.project.bias.assign([0, 0, 7, 0])
    x = np.array([[1, 2, 3, 5]], np.float32)
    assert expert(np.full_like(x, np.nan), x).numpy().tolist() == [[product, 2 * product, 7, -product]]


@pytest.mark.parametrize("kind", KINDS)
def test_output_agrees_with_loops(kind):
    expert = KINDS[kind](5)
    x0, x = np.random.default_rng(0).normal(size=(2, 3, 15)).astype(np.float32)
    expert(x0, x)
    weights = random_weights(expert)
    expected = looped_products(weights["kernel"], x, 5) @ weights["project/kernel"] + weights["project/bias"]
    np.testing.assert_allclose(expert(x0, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_starts_as_scaled_inner_products(kind):
    expert = KINDS[kind](3)
    expert.build((None, 12), (None, 12))
    expert.project.kernel.assign(np.eye(3, 12))
    x = np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)
    a, b, c = x.reshape(4, 3, 4).transpose(1, 0, 2)
    expected = np.stack([(a * b).sum(1), (a * c).sum(1), (b * c).sum(1)], axis=1) / 2
    np.testing.assert_allclose(expert(x, x).numpy()[:, :3], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_differences(kind):
    with float64_layers():
        expert = KINDS[kind](3)
        x0, x = np.random.default_rng(0).normal(size=(2, 2, 6))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


@pytest.mark.parametrize("kind", KINDS)
def test_config_round_trip(kind):
    loaded = config_round_trip(KINDS[kind](7))
    assert type(loaded) is KINDS[kind]
    assert loaded.num_fields == 7


# Three pairs of fields of size 4; 3 -> 12.
@pytest.mark.parametrize(
    ("kind", "products"), [("matrix", 3 * 2 * (16 + 4)), ("vector", 3 * 3 * 4), ("scalar", 2 * 9 * 4 + 3)]
)
def test_flops_by_hand(kind, products):
    expert = KINDS[kind](3)
    expert.build((None, 12), (None, 12))
    assert expert.flops() == products + 2 * 3 * 12


@pytest.mark.parametrize("kind", KINDS)
def test_one_field_is_refused(kind):
    with pytest.raises(ValueError, match="num_fields must be at least 2 for there to be a pair; received 1"):
        KINDS[kind](1)


@pytest.mark.parametrize(
    "kind, flops",
    [
        ("matrix", PAIRS * 2 * (16 * 16 + 16 + 624)),
        ("vector", PAIRS * (16 + 2 * 16 + 2 * 624)),
        ("scalar", 2 * 39 * 39 * 16 + PAIRS * (1 + 2 * 624)),
    ],
)
def test_flops_of_the_defaults_at_criteos_size(kind, flops):
    assert default_megaflops(f"kernel_product_{kind}") == pytest.approx(flops / 1e6)
