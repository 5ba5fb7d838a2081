"""Which differences from the best model are beyond noise.

There are two kinds of noise. For other test rows there is DeLong's test between two models' predictions with the same
seed; the median z over seeds counts. For other seeds there is the paired t test over seeds.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import ttest_rel

from ada_ensemble_tf.comparison.arrays import load_array, load_weights
from ada_ensemble_tf.evaluation.delong import DeLong, compare_placements, delong, placements, two_sided

LEVEL = 0.05
RULE = (
    f"mark: '<' is worse than the best row, '≈' not distinguishable from it. '<' needs p DeLong below {LEVEL:.0%} "
    "after Holm's correction over the rows, and a lower AUC than the best row's with every seed."
)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A row against the best one.

    Attributes:
        difference: mean AUC minus the best row's, over the seeds that both have.
        p_delong: of the median over seeds of DeLong's z; None without a common seed.
        p_paired_t: of the AUCs, paired by seed; None with fewer than two common seeds.
        always_below: whether its AUC is lower with every common seed.
        p_delong_holm: `p_delong` corrected over the rows.
    """

    difference: float
    p_delong: float | None
    p_paired_t: float | None
    always_below: bool
    p_delong_holm: float | None = None

    @property
    def mark(self) -> str:
        """See `RULE`; "?" without a common seed."""
        if self.p_delong_holm is None:
            return "?"
        return "<" if self.p_delong_holm < LEVEL and self.always_below else "≈"


def against_best(predictions: Mapping[str, Mapping[int, Path]], labels: Path, best: str) -> dict[str, Verdict]:
    """The verdict on each row but the best.

    Args:
        predictions: files of predictions by label and seed.
        labels: the file of the test rows' labels.
        best: label of the best row.
    """
    verdicts = {
        label: _verdict([_delong(labels, files[s], predictions[best][s]) for s in files if s in predictions[best]])
        for label, files in predictions.items()
        if label != best
    }
    return _corrected(verdicts)


def all_pairs(
    predictions: Mapping[str, Mapping[int, Path]], labels: Path, order: Sequence[str]
) -> dict[tuple[str, str], Verdict]:
    """The verdict on the worse model of each pair (better, worse) of `order`, with Holm's correction over all pairs.

    Args:
        predictions: files of predictions by label and seed.
        labels: the file of the test rows' labels.
        order: all labels, best first.
    """
    pairs = [(better, worse) for i, better in enumerate(order) for worse in order[i + 1 :]]
    results: dict[tuple[str, str], list[DeLong]] = {pair: [] for pair in pairs}
    known, weights = load_array(labels), load_weights(labels)
    # Seed by seed, so that memory holds one seed's placements of all models and no more.
    for seed in sorted({seed for files in predictions.values() for seed in files}):
        files = {label: by_seed[seed] for label, by_seed in predictions.items() if seed in by_seed}
        placed = {label: placements(known, load_array(file, len(known)), weights) for label, file in files.items()}
        for better, worse in pairs:
            if better in placed and worse in placed:
                results[better, worse].append(compare_placements(placed[worse], placed[better]))
    return _corrected({pair: _verdict(found) for pair, found in results.items()})


def _corrected(verdicts: dict) -> dict:
    tested = [key for key, verdict in verdicts.items() if verdict.p_delong is not None]
    p_values = holm([verdicts[key].p_delong for key in tested])
    corrected = {
        key: dataclasses.replace(verdicts[key], p_delong_holm=p) for key, p in zip(tested, p_values, strict=True)
    }
    return verdicts | corrected


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the i-th smallest of n (from 0) times n - i, not falling, at most 1."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for i, place in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - i)))
        corrected[place] = largest
    return corrected


def paired_t(values: Sequence[float], others: Sequence[float]) -> float | None:
    """The two-sided p of the paired t test; None for fewer than two pairs, 1 where all pairs are equal."""
    if len(values) < 2:
        return None
    differences = np.subtract(values, others)
    if np.ptp(differences) == 0.0:
        return 0.0 if differences[0] else 1.0
    return float(ttest_rel(values, others).pvalue)


def _verdict(results: Sequence[DeLong]) -> Verdict:
    if not results:
        return Verdict(float("nan"), None, None, False)
    aucs, bests = [r.auc for r in results], [r.other_auc for r in results]
    return Verdict(
        difference=float(np.mean(aucs) - np.mean(bests)),
        p_delong=two_sided(float(np.median([r.z for r in results]))),
        p_paired_t=paired_t(aucs, bests),
        always_below=all(auc < best for auc, best in zip(aucs, bests, strict=True)),
    )


@functools.cache
def _delong(labels: Path, predictions: Path, other: Path):
    # Kept: the table is written again after each run, and ranking millions of rows takes seconds.
    known = load_array(labels)
    one, two = (load_array(file, len(known)) for file in (predictions, other))
    return delong(known, one, two, load_weights(labels))
