import numpy as np
import pytest
import tensorflow as tf
from layer_checks import (
    check_gradients,
    check_zero_rows,
    config_round_trip,
    float64_layers,
    random_weights,
    round_trip,
)

from ada_ensemble_tf.moe.low_rank_experts import LowRankExperts

SIZES = {"units": 4, "num_experts": 3, "num_levels": 3, "query_rank": 2}


def rows(count: int = 5, width: int = 6, dtype=np.float32) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(count, width)).astype(dtype)


def built_layer(width: int = 6, **arguments) -> tuple[LowRankExperts, dict[str, np.ndarray]]:
    layer = LowRankExperts(**(SIZES | arguments))
    layer.build((None, width))
    return layer, random_weights(layer)


def reference(weights, x, num_experts, num_levels, k=0):
    """(y, logits of each level), row by row by the docstring's formulas, in float64."""
    keys = weights["keys"].astype(np.float64).T
    outputs = weights["output_kernel"].astype(np.float64)
    all_y, all_logits = [], []
    for row in x.astype(np.float64):
        q = row @ weights["query_in"] @ weights["query_out"]
        y = row @ weights["base/kernel"] + weights["base/bias"]
        logits_of_row = []
        for level in range(num_levels):
            v = keys[level * num_experts : (level + 1) * num_experts]
            u = outputs[level * num_experts : (level + 1) * num_experts]
            logits = v @ q / np.sqrt(len(row))
            s = np.exp(logits - logits.max())
            if k:
                s[np.argsort(-logits)[k:]] = 0.0
            s /= s.sum()
            for share, read, write in zip(s, v, u, strict=True):
                y = y + share * (read @ row) * write
                q = q + share * read
            logits_of_row.append(logits)
        all_y.append(y)
        all_logits.append(logits_of_row)
    return np.array(all_y), np.array(all_logits).swapaxes(0, 1)


def test_one_level_by_hand():
    layer, _ = built_layer(width=4, units=1, num_experts=2, num_levels=2, query_rank=1)
    layer.base.kernel.assign([[1.0], [0.0], [0.0], [0.0]])
    layer.base.bias.assign([0.5])
    # Columns are v_1, v_2 of level 1, then of level 2; sqrt(4) divides logits.
    layer.keys.assign([[0, 2, 0, 2], [2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    layer.query_in.assign([[1.0], [0.0], [0.0], [0.0]])
    layer.query_out.assign([[np.log(3.0), 0.0, 0.0, 0.0]])
    layer.output_kernel.assign([[10.0], [1.0], [7.0], [100.0]])
    y, (first, second) = layer(tf.constant([[1.0, 3.0, 0.0, 0.0]]))
    # q_1 = (log 3, 0): logits (0, log 3), s_1 = (1/4, 3/4); V_1 x = (6, 2).
    np.testing.assert_allclose(first.probability, [0.25, 0.75], rtol=1e-6)
    # q_2 = q_1 + (3/4 * 2, 1/4 * 2): logits (0, log 3 + 1.5); V_2 x = (0, 2).
    share = 3 * np.exp(1.5) / (1 + 3 * np.exp(1.5))
    np.testing.assert_allclose(second.probability, [1 - share, share], rtol=1e-6)
    expected = 1.0 + 0.5 + (10 * 6 / 4 + 2 * 3 / 4) + 100 * 2 * share
    np.testing.assert_allclose(y, [[expected]], rtol=1e-6)


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_both_forms_are_the_formula_and_report_what_routers_did(parallel, k):
    layer, weights = built_layer(parallel=parallel, k=k)
    y, reports = layer(rows(40))
    expected, logits = reference(weights, rows(40), 3, 3, k)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    assert len(reports) == 3
    for report, of_level in zip(reports, logits, strict=True):
        probability = np.exp(of_level) / np.exp(of_level).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(report.probability, probability.mean(axis=0), atol=1e-4)
        load = np.bincount(of_level.argmax(axis=1), minlength=3) / 40
        np.testing.assert_allclose(report.load, load, atol=1e-6)
        np.testing.assert_allclose(tf.reduce_sum(report.routed), k or 3, rtol=1e-5)
        np.testing.assert_allclose(report.z, (np.log(np.exp(of_level).sum(axis=1)) ** 2).mean(), rtol=1e-4)
        np.testing.assert_allclose(report.entropy, -(probability * np.log(probability)).sum(axis=1).mean(), 1e-3, 1e-5)
        np.testing.assert_allclose([report.logit_min, report.logit_max], [of_level.min(), of_level.max()], rtol=1e-3)
        assert int(report.k) == (k or 3)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_both_forms_have_the_same_output_and_gradients(k):
    with float64_layers():
        one, other = (built_layer(parallel=parallel, k=k)[0] for parallel in (True, False))
    results = []
    for layer in (one, other):
        with tf.GradientTape() as tape:
            y, reports = layer(tf.constant(rows(7, dtype=np.float64)))
            loss = tf.reduce_sum(tf.square(y)) + tf.add_n([report.z for report in reports])
        results.append([y, *tape.gradient(loss, [v.value for v in layer.trainable_variables])])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("parallel", [True, False])
def test_gradients(parallel):
    with float64_layers():
        layer, _ = built_layer(parallel=parallel, num_levels=2)
    check_gradients(layer, rows(3, dtype=np.float64), rtol=1e-5)


def test_it_starts_as_its_base_and_routers_tell_rows_apart():
    layer = LowRankExperts(5, 8, 2, query_rank=8)
    layer.build((None, 64))
    x = tf.constant(rows(200, 64))
    y, reports = layer(x)
    np.testing.assert_array_equal(y, layer.base(x))
    for report in reports:
        assert np.max(report.load) < 0.5 and 1.0 < float(report.entropy) < 0.95 * np.log(8)


@pytest.mark.parametrize("parallel", [True, False])
def test_zero_rows_and_saving(parallel):
    layer, _ = built_layer(parallel=parallel)
    check_zero_rows(layer, rows())
    _, reports = layer(tf.zeros([0, 6]))
    assert all(np.isfinite(value).all() for report in reports for value in report)
    before, after = round_trip(layer, rows())
    np.testing.assert_array_equal(before, after)
    again = config_round_trip(LowRankExperts(7, 2, 5, 1, 3, parallel, name="mine"))
    assert again.get_config() == LowRankExperts(7, 2, 5, 1, 3, parallel, name="mine").get_config()


def test_flops_by_hand():
    base, outputs, scaling = 2 * 6 * 4, 2 * 9 * 4, 9
    parallel, _ = built_layer()
    # x with V and the projection's input, that with V's products, and the scores of levels 1 and 2 with V V^T.
    assert parallel.flops() == base + outputs + scaling + 2 * 6 * (9 + 2) + 2 * 2 * 9 + 2 * 9 * (1 + 2)
    assert parallel.flops_per_batch() == 2 * 6 * 9 * 9 + 2 * 6 * 9 * 2
    loop, _ = built_layer(parallel=False)
    # The projection; V q and V x at three levels; q's update after two.
    assert loop.flops() == base + outputs + scaling + 2 * 2 * 6 * 2 + 3 * 2 * 2 * 6 * 3 + 2 * 2 * 6 * 3
    assert loop.flops_per_batch() == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"units": 0}, "units must be at least 1; received 0"),
        ({"num_experts": 0}, "num_experts must be at least 1; received 0"),
        ({"num_levels": 0}, "num_levels must be at least 1; received 0"),
        ({"query_rank": -1}, "query_rank must be at least 1; received -1"),
        ({"k": 4}, "k must lie between 1 and num_experts=3, or be 0 for all; received 4"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LowRankExperts(**(SIZES | arguments))
