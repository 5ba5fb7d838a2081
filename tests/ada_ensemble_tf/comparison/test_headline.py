"""What a comparison says first, of standings by hand and of made-up predictions."""

import numpy as np
import pytest

from ada_ensemble_tf.comparison.arrays import save_array
from ada_ensemble_tf.comparison.headline import Standing, headline, worse_by_logloss


def standing(label, auc, mark, logloss, worse=False, calibration=1.0, off=False) -> Standing:
    return Standing(label, auc, mark, logloss, worse, calibration, off)


def kinds(found) -> list[tuple[str, str]]:
    return [(severity, kind) for severity, kind, _ in found]


def test_the_highest_auc_alone_does_not_lead():
    """A model with LogLoss .336 beside .271 and calibration .941 was once called good for its AUC."""
    sharp = standing("sharp", 0.9520, "best", 0.336, worse=True, calibration=0.941, off=True)
    sound = standing("sound", 0.9512, "≈", 0.271)
    (first, second) = headline([sharp, sound])
    assert first[:2] == ("good", "best") and first[2].startswith("sound leads: AUC 0.9512, LogLoss 0.2710")
    assert "an AUC that cannot be told from the highest" in first[2]
    assert second[:2] == ("note", "not_best")
    assert second[2].startswith(
        "sharp has the highest AUC, 0.9520, but its LogLoss, 0.3360, is 24.0% above the lowest, sound's 0.2710 and its "
        "predictions are too low (calibration 0.941). To rank rows it serves as well as sound; to use its "
        "probabilities, recalibrate it (config.calibration) and keep its checkpoint by LogLoss "
        "(config.monitor=logloss)."
    )


def test_without_a_leader_both_uses_are_answered():
    sharp = standing("sharp", 0.9520, "best", 0.336, worse=True)
    other, far = standing("other", 0.9300, "<", 0.290, calibration=1.05, off=True), standing("far", 0.9, "<", 0.3)
    first, worse = headline([sharp, other, far])
    assert first[:2] == ("note", "best")
    assert first[2] == (
        "No model leads in everything. sharp has the highest AUC, 0.9520, but its LogLoss, 0.3360, is 15.9% above the "
        "lowest, other's 0.2900. To rank rows, take sharp. To use the probabilities, as in bids, take other (AUC "
        "0.9300, LogLoss 0.2900, calibration 1.050) and recalibrate it (config.calibration), or take sharp and keep "
        "its checkpoint by LogLoss (config.monitor=logloss)."
    )
    assert worse == ("note", "worse", "Worse by AUC beyond noise: other, far.")


def test_without_a_leader_a_model_of_the_same_auc_ranks_as_well():
    sharp = standing("sharp", 0.9522, "best", 0.361, worse=True)
    other = standing("other", 0.9522, "≈", 0.261, calibration=0.93, off=True)
    ((_, _, message),) = headline([sharp, other])
    assert "To rank rows, take sharp or other, whose AUC cannot be told from it. To use the probabilities" in message


def test_the_best_by_both_is_only_to_be_recalibrated():
    """A calibrated model of higher LogLoss is not what to bid by."""
    best = standing("best", 0.9, "best", 0.3, calibration=1.1, off=True)
    (first, _) = headline([best, standing("b", 0.8, "<", 0.35, worse=True)])
    assert first[0] == "note" and first[2] == (
        "best has the highest AUC, 0.9000, and the lowest LogLoss, 0.3000, but its predictions are too high "
        "(calibration 1.100). To rank rows, take it as it is; to use its probabilities, recalibrate it "
        "(config.calibration)."
    )
    (first, _) = headline([best, standing("b", 0.8, "<", 0.29)])
    assert "and a LogLoss that cannot be told from the lowest, 0.3000" in first[2]


def test_equals_are_named_with_their_figures():
    (only,) = headline([standing("a", 0.9, "best", 0.3), standing("b", 0.8999, "≈", 0.3001)])
    assert only[:2] == ("good", "best") and "the highest AUC" in only[2]
    assert "Not distinguishable from it on these test rows and seeds: b (AUC 0.8999, LogLoss 0.3001" in only[2]


@pytest.mark.parametrize(("off", "severity"), [(False, "good"), (True, "note")])
def test_a_model_alone_is_not_said_to_lead(off, severity):
    assert kinds(headline([standing("a", 0.9, "best", 0.3, off=off)])) == [(severity, "best")]


def test_logloss_is_worse_beyond_noise_only_where_every_seed_and_the_test_say_so(tmp_path):
    rng = np.random.default_rng(5)
    p = rng.beta(2, 5, 4000)
    save_array(tmp_path / "labels.npy", (rng.random(4000) < p).astype(np.uint8))
    files = {}
    for label, noises in {"low": (0.0, 0.0), "same": (0.02, 0.02), "bad": (1.0, 1.0), "mixed": (1.0, -1.0)}.items():
        for seed, noise in enumerate(noises):
            logit = np.log(p / (1 - p)) + max(noise, 0.0) * rng.normal(0, 1, 4000)
            scores = 1.0 / (1.0 + np.exp(-logit))
            # Moved to where labels of this sample are: lower LogLoss than the probabilities they were drawn from.
            scores = np.where(
                noise < 0, np.clip(scores + 0.1 * (np.load(tmp_path / "labels.npy") - scores), 0, 1), scores
            )
            folder = tmp_path / label / f"seed_{seed}"
            folder.mkdir(parents=True)
            save_array(folder / "test_probabilities.npy", scores.astype(np.float32))
            files.setdefault(label, {})[seed] = folder / "test_probabilities.npy"
    files["alone"] = {7: files["bad"][0]}
    assert worse_by_logloss(files, tmp_path / "labels.npy", "low") == {
        "low": False, "same": False, "bad": True, "mixed": False, "alone": False,
    }  # fmt: skip
