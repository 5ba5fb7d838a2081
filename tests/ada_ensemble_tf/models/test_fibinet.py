import itertools

import numpy as np
import pytest
from model_checks import (
    FIELDS,
    INPUTS,
    PLAIN,
    PLAIN_INPUTS,
    assert_forward_is,
    check_model,
    reference_estimator,
    reference_mlp,
    reference_normalization,
)

from ada_ensemble_tf.models import FiBiNET


def small_model(**arguments) -> FiBiNET:
    return FiBiNET(**({"dimension": 4, "hidden_units": (6, 5)} | arguments))


def reference_bilinear(kernel: np.ndarray, v: np.ndarray, kind: str) -> np.ndarray:
    """The products of all pairs with the matrices of `kind`."""
    pairs = list(itertools.combinations(range(3), 2))
    matrices = [kernel if kind == "all" else kernel[i if kind == "each" else p] for p, (i, _) in enumerate(pairs)]
    return np.concatenate([v[:, i] @ w * v[:, j] for (i, j), w in zip(pairs, matrices, strict=True)], axis=1)


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("kind, reduction", [("all", 3), ("each", 1), ("interaction", 2)])
def test_forward_is_the_numpy_network(rows, kind, reduction):
    def reference(weights, fields):
        v = reference_normalization(weights, "normalize", fields["embedding"].reshape(-1, 12)).reshape(-1, 3, 4)
        squeezed = np.maximum(v.mean(axis=2) @ weights["squeeze_excitation/squeeze/kernel"], 0)
        assert squeezed.shape[1] == {3: 1, 1: 3, 2: 1}[reduction]
        excited = np.maximum(squeezed @ weights["squeeze_excitation/excite/kernel"], 0)
        assert excited.any()
        p = reference_bilinear(weights["bilinear/kernel"], v, kind)
        q = reference_bilinear(weights["weighted_bilinear/kernel"], v * excited[:, :, None], kind)
        hidden = reference_mlp(weights, "mlp", np.concatenate([p, q], axis=1))
        return fields["level_weights"][:, :, 0].sum(axis=1) + reference_estimator(weights, hidden)

    assert_forward_is(small_model(**rows, bilinear=kind, reduction=reduction), reference)


def test_flops_by_hand():
    # Means and weighting of 12 values; kernels of 3 x 1 and 1 x 3; twice 3 pairs of 4 values.
    shared = 2 * 12 + 2 * 6 + 2 * 3 * 4 + 2 * (24 * 6 + 6 * 5 + 5)
    row = shared + 2 * 2 * 3 * 16
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * (3 + row)
    assert float(small_model(**FIELDS).forward(INPUTS).flops) == 3 + 4 + 5 + 3 * row
    # Two fields are on the left of a pair.
    row = shared + 2 * 2 * 2 * 16
    assert float(small_model(**PLAIN, bilinear="each").forward(PLAIN_INPUTS).flops) == 4 * (3 + row)


def test_what_every_model_does(tmp_path):
    check_model(small_model, tmp_path, kernels=7)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"bilinear": "field"}, r"bilinear must be 'all', 'each' or 'interaction'; received 'field'"),
        ({"reduction": 0}, "reduction must be a whole number of at least 1; received 0"),
        ({"num_fields": 1}, "num_fields must be at least 2, to have pairs; received 1"),
        ({"hidden_units": ()}, "hidden_units must be one or more whole numbers of at least 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN | arguments)
