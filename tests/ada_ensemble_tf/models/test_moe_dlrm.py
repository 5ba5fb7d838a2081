import dhen_reference
import numpy as np
import pytest
import tensorflow as tf
from model_checks import (
    FIELDS,
    PLAIN,
    PLAIN_INPUTS,
    assert_forward_is,
    check_model,
    randomize,
    reference_estimator,
    reference_mlp,
    reference_normalization,
)

from ada_ensemble_tf.models import MoEDLRM

SMALL = {"dimension": 4, "num_experts": 3, "expert_units": (5, 6), "numeric_units": (3,)}
VALUES = np.array([[2.5], [0.0], [0.0]])


def small_model(**arguments) -> MoEDLRM:
    return MoEDLRM(**(SMALL | arguments))


def reference(k, experts=3, values=VALUES):
    def network(weights, fields):
        x = fields["embedding"]
        if values is not None:
            x = np.concatenate([x, reference_mlp(weights, "numeric", values)[:, None]], axis=1)
        x = reference_normalization(weights, "normalize", x.reshape(len(x), -1)).reshape(x.shape)
        z = dhen_reference.projected(weights["compress/kernel"], x) if "compress/kernel" in weights else x
        pairs = [(z[:, i] * z[:, j]).sum(axis=1) for i in range(z.shape[1]) for j in range(i + 1, z.shape[1])]
        v = np.concatenate([x.reshape(len(x), -1), np.stack(pairs, axis=1)], axis=1)
        outputs = [reference_mlp(weights, f"expert_{j}", v) for j in range(1, experts + 1)]
        if experts == 1:
            return reference_estimator(weights, outputs[0])
        logits = v @ weights["gate/kernel"] + weights["gate/bias"]
        kept = np.argsort(-logits, axis=1)[:, : k or experts]
        mixed = np.zeros_like(outputs[0])
        for row in range(len(v)):
            shares = np.exp(logits[row, kept[row]] - logits[row].max())
            for share, j in zip(shares / shares.sum(), kept[row], strict=True):
                mixed[row] += share * outputs[j][row]
        return reference_estimator(weights, mixed)

    return network


@pytest.mark.parametrize("k", [0, 1, 2])
def test_forward_is_the_numpy_network(k):
    assert_forward_is(small_model(**FIELDS, k=k), reference(k), rtol=1e-3)


def test_one_expert_is_dlrm_without_a_gate():
    model = small_model(**PLAIN, num_experts=1, compressed=2)
    assert model.gate is None and model.choice_names() == {}
    assert_forward_is(model, reference(0, experts=1, values=None), rtol=1e-3)


def test_flops_are_those_of_the_experts_that_rows_keep():
    expert, estimator, products = 2 * ((12 + 3) * 5 + 5 * 6), 2 * 6, 2 * 3 * 3 * 4
    gate = 2 * (12 + 3) * 3
    for k, kept in ((0, 3), (1, 1), (2, 2)):
        model = small_model(**PLAIN, k=k)
        assert float(model.forward(PLAIN_INPUTS).flops) == 4 * (kept * expert + gate + estimator + products)
    alone = small_model(**PLAIN, num_experts=1)
    assert float(alone.forward(PLAIN_INPUTS).flops) == 4 * (expert + estimator + products)


def test_the_balance_loss_by_hand():
    model = small_model(**PLAIN, k=1, expert_load_weight=0.5)
    randomize(model)
    forward = model.forward(PLAIN_INPUTS)
    report = forward.reports["gate"]
    balance = 3 * float(tf.reduce_sum(report.load * report.probability))
    np.testing.assert_allclose(forward.terms["expert_distribution"], 0.5 * balance, rtol=1e-5)
    # All experts are kept anyway: there is nothing to balance.
    assert small_model(**PLAIN).forward(PLAIN_INPUTS).terms == {}


def test_what_every_model_does(tmp_path):
    # The floats' MLP has 2, the gate 1, each of three experts 2, the estimator 1, the compression 1.
    check_model(lambda **rows: small_model(**rows, k=2, compressed=2), tmp_path, kernels=11)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"k": 4}, "k must lie between 1 and the 3 experts, or be 0 for all; received 4"),
        ({"compressed": 1}, "compressed must be at least 2, or 0 for no compression; received 1"),
        ({"num_experts": 0}, "num_experts must be a whole number of at least 1; received 0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
