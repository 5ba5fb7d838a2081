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
    reference_normalization,
)

from ada_ensemble_tf.models import SingleExpert


def small_model(**arguments) -> SingleExpert:
    return SingleExpert(**({"dimension": 4, "num_layers": 2} | arguments))


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("expert", ["cross", "polynomial", "gated_dense"])
def test_forward_is_the_numpy_network(rows, expert):
    def interact(weights, i, x0, x):
        w = weights[f"{expert}_{i}/dense/kernel"]
        if expert == "polynomial":
            return x * (x0 @ w)
        dense = x @ w + weights[f"{expert}_{i}/dense/bias"]
        if expert == "cross":
            return x0 * dense
        inner = x0 @ weights[f"{expert}_{i}/squeeze/kernel"] + weights[f"{expert}_{i}/squeeze/bias"]
        gate = np.maximum(inner, 0) @ weights[f"{expert}_{i}/excite/kernel"] + weights[f"{expert}_{i}/excite/bias"]
        return 2 / (1 + np.exp(-gate)) * np.maximum(dense, 0)

    def reference(weights, fields):
        x = x0 = reference_normalization(weights, "normalize", fields["embedding"].reshape(-1, 12))
        for i in (1, 2):
            x = reference_normalization(weights, f"normalize_{i}", x + interact(weights, i, x0, x))
        return reference_estimator(weights, x)

    assert_forward_is(small_model(**rows, expert=expert), reference)


def test_dropout_is_on_what_the_expert_sees_in_training():
    model = SingleExpert(
        num_rows=9, num_fields=3, dimension=40, num_layers=1, expert="dense", dropout=0.5,
        normalization="none", embedding_normalization="none",
    )  # fmt: skip
    model.embedding.table.assign(np.ones([9, 40]))
    model.experts[0].dense.kernel.assign(np.eye(120))
    np.testing.assert_array_equal(model.forward(PLAIN_INPUTS).tensors["output of dense_1"], np.full((4, 120), 2.0))
    trained = model.forward(PLAIN_INPUTS, training=True).tensors["output of dense_1"].numpy()
    assert set(np.unique(trained)) == {1.0, 3.0} and np.mean(trained) == pytest.approx(2.0, abs=0.4)


def test_flops_by_hand():
    flops = 2 * (2 * 12 * 12 + 2 * 12) + 2 * 12
    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * flops
    assert float(small_model(**FIELDS).forward(INPUTS).flops) == 3 * flops


@pytest.mark.parametrize("expert, megaflops", [("gated_dense", 3.71), ("polynomial", 3.32)])
def test_flops_of_the_paper_less_its_gates(expert, megaflops):
    model = SingleExpert(num_rows=39, num_fields=39, expert=expert)
    per_row = sum(layer.flops() for layer in model.experts)
    # A gate over one expert: 624 -> 39 -> 16, and one cosine.
    gates = 4 * 2 * (624 * 39 + 39 * 16 + 16)
    assert (per_row + gates) / 1e6 == pytest.approx(megaflops, rel=0.01)


def test_what_every_model_does(tmp_path):
    check_model(small_model, tmp_path, kernels=3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1; received 0"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\); received 1.0"),
        ({"expert": "oracle"}, "expert must be among attention, .*; received 'oracle'"),
        ({"normalization": "group"}, "normalization must be 'batch', 'layer' or 'none'; received 'group'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
