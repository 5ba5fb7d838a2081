import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights
from scipy.special import erf

from ada_ensemble_tf.experts import AttentionExpert


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def looped_attention(w: dict, x: np.ndarray, num_fields: int, inner: int, heads: int, activate=gelu) -> np.ndarray:
    """The expert, one row, head and token at a time."""
    size = inner // heads
    kernels = np.split(w["query_key_value/kernel"].astype(float), 3, axis=1)
    biases = np.split(w["query_key_value/bias"].astype(float), 3)
    outputs = []
    for row in x:
        tokens = row.reshape(num_fields, -1)
        query, key, value = (activate(tokens @ kernel + bias) for kernel, bias in zip(kernels, biases, strict=True))
        attended = np.zeros((num_fields, inner))
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for i in range(num_fields):
                scores = np.array([query[i, part] @ key[j, part] for j in range(num_fields)]) / np.sqrt(size)
                shares = np.exp(scores - scores.max())
                shares /= shares.sum()
                attended[i, part] = sum(shares[j] * value[j, part] for j in range(num_fields))
        mixed = activate(attended @ w["mix/kernel"] + w["mix/bias"])
        normal = np.zeros_like(mixed)
        for c in range(inner):
            deviations = mixed[:, c] - sum(mixed[:, c]) / num_fields
            scale = w["normalize_fields/gamma"][c] / np.sqrt(sum(deviations**2) / num_fields + 1e-3)
            normal[:, c] = deviations * scale + w["normalize_fields/beta"][c]
        outputs.append(normal.ravel() @ w["project/kernel"] + w["project/bias"])
    return np.array(outputs)


@pytest.mark.parametrize(("inner", "heads"), [(8, 4), (6, 2), (4, 1), (4, 4)])
def test_output_agrees_with_loops(inner, heads):
    expert = AttentionExpert(5, inner, heads)
    x0, x = np.random.default_rng(0).normal(size=(2, 3, 15)).astype(np.float32)
    expert(x0, x)
    weights = random_weights(expert)
    expected = looped_attention(weights, x, 5, inner, heads)
    np.testing.assert_allclose(expert(x0, x), expected, rtol=1e-3, atol=1e-4)


def test_another_activation_takes_the_place_of_gelu():
    expert = AttentionExpert(4, activation="tanh")
    x0, x = np.random.default_rng(1).normal(size=(2, 3, 8)).astype(np.float32)
    expert(x0, x)
    expected = looped_attention(random_weights(expert), x, 4, 8, 4, activate=np.tanh)
    np.testing.assert_allclose(expert(x0, x), expected, rtol=1e-3, atol=1e-4)


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = AttentionExpert(3, inner_size=4, heads=2)
        x0, x = np.random.default_rng(0).normal(size=(2, 2, 6))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x, rtol=1e-5, atol=1e-6)


def test_large_scores_stay_finite():
    expert = AttentionExpert(4)
    x = np.full((2, 8), 1e4, np.float32)
    expert(x, x)
    random_weights(expert)
    assert np.isfinite(expert(x, x)).all()


def test_config_round_trip():
    loaded = config_round_trip(AttentionExpert(5, 6, 3, activation="relu"))
    assert (loaded.num_fields, loaded.inner_size, loaded.heads, loaded.activation) == (5, 6, 3, "relu")


def test_heads_that_do_not_divide_the_inner_size_are_refused():
    with pytest.raises(ValueError, match="heads must divide inner_size=8; received 3"):
        AttentionExpert(5, inner_size=8, heads=3)


def test_flops_of_the_defaults_at_criteos_size():
    # AdaEnsemble (arXiv 2301.08353), table 2.
    assert default_megaflops("attention") == pytest.approx(0.473, abs=0.0006)
