"""The check before publishing: does the SavedModel give the same scores as the model in Python?"""

from pathlib import Path

import numpy as np

from ada_ensemble_tf.serving.golden_rows import GoldenRows
from ada_ensemble_tf.serving.session import ServingSession, click_probabilities
from data_pipelines.errors import UserError

TOLERANCES = {"float32": 1e-4, "bfloat16": 1e-2}
"""Largest relative difference of click probabilities by the model's dtype: sums may be taken in another order."""
ABSOLUTE = 1e-7


def difference(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Relative differences `[n]`; infinite where `found` is not finite."""
    wrong = np.maximum(np.abs(found - expected) - ABSOLUTE, 0.0) / np.maximum(expected, ABSOLUTE)
    return np.where(np.isfinite(wrong), wrong, np.inf)


def check_parity(folder: str | Path, session: ServingSession, rows: GoldenRows, tolerance: float) -> float:
    """Scores the golden rows with every signature of a SavedModel.

    Returns:
        The largest relative difference.

    Raises:
        UserError: if a difference is above the tolerance; names the signature and the row.
    """
    largest, all_rows = 0.0, np.arange(len(rows.ctr))
    for signature in session.signatures:
        found = click_probabilities(signature, session(signature, rows.feed(signature, all_rows)))
        if found.shape != rows.ctr.shape:
            raise UserError(f"{folder}: signature {signature} gives {found.shape} for {rows.ctr.shape[0]} rows")
        wrong = difference(found, rows.ctr)
        worst = int(np.argmax(wrong))
        if wrong[worst] > tolerance:
            raise UserError(
                f"{folder}: not published: signature {signature} gives golden row {worst} a ctr of {found[worst]:.7g}, "
                f"the model in Python {rows.ctr[worst]:.7g}; the relative difference {wrong[worst]:.2g} is above "
                f"{tolerance:g}, at {np.sum(wrong > tolerance)} of {len(wrong)} rows"
            )
        largest = max(largest, float(wrong[worst]))
    return largest
