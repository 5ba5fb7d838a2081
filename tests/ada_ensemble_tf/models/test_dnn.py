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
)

from ada_ensemble_tf.models import DNN


def small_model(**arguments) -> DNN:
    return DNN(**({"dimension": 4, "hidden_units": (6, 5)} | arguments))


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("normalization", ["batch", "none"])
def test_forward_is_the_numpy_network(rows, normalization):
    def reference(weights, fields):
        x0 = fields["embedding"].reshape(-1, 12)
        return reference_estimator(weights, reference_mlp(weights, "mlp", x0))

    assert_forward_is(small_model(**rows, normalization=normalization), reference)


def test_flops_by_hand():
    row = 2 * (12 * 6 + 6 * 5 + 5)
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * row
    assert float(small_model(**FIELDS).forward(INPUTS).flops) == 3 * row


def test_what_every_model_does(tmp_path):
    check_model(small_model, tmp_path, kernels=3)


def test_dropout_survives_saving(tmp_path):
    check_model(lambda **arguments: small_model(**arguments, dropout=0.1), tmp_path, kernels=3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"hidden_units": ()}, "hidden_units must be one or more whole numbers of at least 1"),
        ({"dropout": -0.5}, r"dropout must lie in \[0, 1\); received -0.5"),
        ({"normalization": "bach"}, "normalization must be 'batch', 'layer' or 'none'; received 'bach'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
