"""Which differences count, on made-up predictions."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from ada_ensemble_tf.comparison.arrays import save_array
from ada_ensemble_tf.comparison.significance import against_best, all_pairs, holm, paired_t
from ada_ensemble_tf.evaluation.delong import delong, two_sided


@pytest.fixture
def files(tmp_path):
    """(prediction files by label and seed, labels file): "good", "twin", which is equally good, and "bad"."""
    rng = np.random.default_rng(7)
    labels = rng.random(3000) < 0.3
    signal = labels + rng.normal(0, 1.0, 3000)
    save_array(tmp_path / "labels.npy", labels)
    paths = {}
    for label, noise in (("good", 0.3), ("twin", 0.3), ("bad", 1.5)):
        paths[label] = {}
        for seed in range(3):
            paths[label][seed] = tmp_path / f"{label}_{seed}.npy"
            save_array(paths[label][seed], (signal + rng.normal(0, noise, 3000)).astype(np.float32))
    return paths, tmp_path / "labels.npy"


def test_the_worse_row_is_marked_and_the_twin_is_not(files):
    predictions, labels = files
    verdicts = against_best(predictions, labels, "good")
    assert verdicts.keys() == {"twin", "bad"}
    assert verdicts["bad"].mark == "<" and verdicts["twin"].mark == "≈"
    assert verdicts["bad"].difference < -0.02 < verdicts["twin"].difference
    assert verdicts["bad"].p_paired_t < 0.05


def test_p_is_that_of_the_median_z_over_seeds_and_is_corrected(files):
    predictions, labels = files
    truth = np.load(labels)
    z = [delong(truth, np.load(predictions["twin"][s]), np.load(predictions["good"][s])).z for s in range(3)]
    verdicts = against_best(predictions, labels, "good")
    assert verdicts["twin"].p_delong == pytest.approx(two_sided(sorted(z)[1]))
    assert verdicts["bad"].p_delong_holm == pytest.approx(2 * verdicts["bad"].p_delong)


def test_all_pairs_are_the_single_tests_corrected_over_all(files):
    predictions, labels = files
    pairs = all_pairs(predictions, labels, ["good", "twin", "bad"])
    assert list(pairs) == [("good", "twin"), ("good", "bad"), ("twin", "bad")]
    for best in ("good", "twin"):
        for other, verdict in against_best(predictions, labels, best).items():
            if (best, other) in pairs:
                assert pairs[best, other].p_delong == pytest.approx(verdict.p_delong, rel=1e-9)
                assert pairs[best, other].difference == pytest.approx(verdict.difference)
    corrected = holm([verdict.p_delong for verdict in pairs.values()])
    assert [verdict.p_delong_holm for verdict in pairs.values()] == corrected
    assert [verdict.mark for verdict in pairs.values()] == ["≈", "<", "<"]


def test_a_pair_without_a_common_seed_is_not_tested(files):
    predictions, labels = files
    apart = {"good": predictions["good"], "bad": {7: predictions["bad"][0]}}
    assert all_pairs(apart, labels, ["good", "bad"])["good", "bad"].mark == "?"


def test_seeds_that_disagree_are_noise(files):
    """Worse by far with two seeds, better with the third."""
    predictions, labels = files
    predictions["bad"][2], predictions["good"][2] = predictions["good"][2], predictions["bad"][2]
    verdict = against_best(predictions, labels, "good")["bad"]
    assert verdict.p_delong_holm < 0.05 and verdict.mark == "≈"


def test_only_seeds_that_both_have_count(files):
    predictions, labels = files
    one = {"good": predictions["good"], "bad": {1: predictions["bad"][1]}, "twin": {9: predictions["twin"][0]}}
    verdicts = against_best(one, labels, "good")
    assert verdicts["bad"].p_paired_t is None and verdicts["bad"].p_delong_holm == verdicts["bad"].p_delong < 0.05
    assert verdicts["twin"].p_delong is None and verdicts["twin"].mark == "?"


def test_holm_by_hand():
    # 0.01 * 4, 0.02 * 3, then 0.03 * 2 and 0.5 * 1.
    assert holm([0.02, 0.5, 0.01, 0.03]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    # It does not fall: 0.02 * 2 = 0.04, and 0.03 * 1 after it.
    assert holm([0.03, 0.02]) == pytest.approx([0.04, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_paired_t():
    a, b = [0.8, 0.82, 0.81], [0.79, 0.8, 0.805]
    assert paired_t(a, b) == pytest.approx(ttest_1samp(np.subtract(a, b), 0.0).pvalue)
    assert paired_t([0.8], [0.7]) is None
    assert paired_t([0.8, 0.9], [0.8, 0.9]) == 1.0 and paired_t([0.5, 0.5], [0.25, 0.25]) == 0.0
