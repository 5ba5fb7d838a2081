import numpy as np
import pytest
import tensorflow as tf
from model_checks import (
    FIELDS,
    INPUTS,
    PLAIN,
    PLAIN_INPUTS,
    assert_forward_is,
    check_model,
    reference_estimator,
    reference_mlp,
)

from ada_ensemble_tf.models import PNN
from ada_ensemble_tf.models.pnn import inner_products, outer_product

# Two fields of size 2: (1, 2) and (3, 4).
FIELD_PAIR = tf.constant([[[1.0, 2.0], [3.0, 4.0]]])


def small_model(**arguments) -> PNN:
    return PNN(**({"dimension": 4, "hidden_units": (6, 5)} | arguments))


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("products", [("inner", "outer"), ("outer", "inner"), ("inner",), ("outer",)])
def test_forward_is_the_numpy_network(rows, products):
    def reference(weights, fields):
        f = fields["embedding"]
        signals = [f.reshape(-1, 12)]
        if "inner" in products:
            signals += [(f[:, i] * f[:, j]).sum(axis=1)[:, None] for i in range(3) for j in range(i, 3)]
        if "outer" in products:
            # The sum over all pairs of fields of their outer products.
            signals.append(np.einsum("bim,bjn->bmn", f, f).reshape(-1, 16))
        return reference_estimator(weights, reference_mlp(weights, "mlp", np.concatenate(signals, axis=1)))

    assert_forward_is(small_model(**rows, products=products), reference)


def test_products_by_hand():
    # <a, a>, <a, b>, <b, b>.
    assert inner_products(FIELD_PAIR).numpy().tolist() == [[5.0, 11.0, 25.0]]
    # The sum of fields is (4, 6).
    assert outer_product(FIELD_PAIR).numpy().tolist() == [[16.0, 24.0, 24.0, 36.0]]


def test_inner_products_are_the_papers_symmetric_weighting_of_all_pairs():
    rng = np.random.default_rng(3)
    f, half = rng.normal(size=(5, 4, 3)), rng.normal(size=(4, 4))
    symmetric = half + half.T
    of_all_pairs = np.einsum("ij,bim,bjm->b", symmetric, f, f)
    of_upper = np.where(np.eye(4, dtype=bool), symmetric, 2 * symmetric)[np.triu_indices(4)]
    np.testing.assert_allclose(inner_products(tf.constant(f)) @ of_upper[:, None], of_all_pairs[:, None])


def test_flops_by_hand():
    # 9 inner products of size 4; 3 * 4 sums and 4 * 4 products of them.
    inner, outer = 2 * 9 * 4, 12 + 16
    dense = 2 * (6 * 5 + 5)
    both = inner + outer + 2 * (12 + 6 + 16) * 6 + dense
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * both
    assert float(small_model(**FIELDS).forward(INPUTS).flops) == 3 * both
    only_inner = small_model(**PLAIN, products=("inner",))
    assert float(only_inner.forward(PLAIN_INPUTS).flops) == 4 * (inner + 2 * (12 + 6) * 6 + dense)


@pytest.mark.parametrize("products", [("inner", "outer"), ("outer",)])
def test_what_every_model_does(tmp_path, products):
    check_model(lambda **arguments: small_model(**arguments, products=products), tmp_path, kernels=3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"products": ()}, r"products must be one or both of 'inner' and 'outer'; received \[\]"),
        ({"products": ("inner", "inner")}, "products must be one or both of"),
        ({"products": ("iner",)}, r"products must be one or both of .* received \['iner'\]"),
        ({"products": "inner"}, "products must be one or both of .* received 'inner'"),
        ({"hidden_units": ()}, "hidden_units must be one or more whole numbers of at least 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
