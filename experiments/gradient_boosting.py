"""Scikit-learn's gradient boosting on the rows of a prepared directory:

python -m experiments.gradient_boosting --data_dir=DIR --raw=FILE [--seeds=3] [--out=FILE.json]

It reads the raw files that DIR was prepared from and splits them as DIR is split. Numbers stay numbers. A field of at
most 255 levels is a categorical feature; a field of more becomes two numbers, the click rate of the row's level
(scikit-learn's TargetEncoder, which leaves a row's own fold out in training) and the logarithm of its training rows. A
multi-valued field becomes a number for each of its levels. The validation rows end boosting and choose the number of
trees, as they do for the models of this package. Needs scikit-learn 1.7 or newer.
"""

import itertools
import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import TargetEncoder

from ada_ensemble_tf.evaluation.metrics import all_metrics
from data_pipelines.errors import run_main
from experiments.measuring.raw_splits import Columns, load_columns

MOST_CATEGORIES = 255
"""As many levels as a categorical feature of scikit-learn's may have."""
_PATIENCE = 30
SCORED = ("validation", "test")


class Features:
    """The matrix of a split, as learned from the training split.

    Args:
        train: the training rows.
        seed: of the folds of the target encoder.

    Attributes:
        matrix: float64 [n, features] of the training rows, whose click rates leave a row's own fold out.
        categorical: for each feature, whether it is categorical.
    """

    def __init__(self, train: Columns, seed: int):
        sizes = {name: int(ids.max()) + 1 for name, ids in train.levels.items()}
        self._few = [name for name, size in sizes.items() if size <= MOST_CATEGORIES]
        self._many = [name for name, size in sizes.items() if size > MOST_CATEGORIES]
        self._counts = {name: np.log1p(np.bincount(train.levels[name])) for name in self._many}
        self._encoder = TargetEncoder(target_type="binary", random_state=seed)
        with warnings.catch_warnings():
            # Version 1.9 would have the seed in another argument, which earlier ones do not know.
            warnings.simplefilter("ignore", FutureWarning)
            rates = self._encoder.fit_transform(self._ids(train), train.label) if self._many else None
        self.matrix = self._joined(train, rates)
        self.categorical = np.arange(self.matrix.shape[1]) < len(self._few)

    def __call__(self, rows: Columns) -> np.ndarray:
        """The matrix of other rows."""
        return self._joined(rows, self._encoder.transform(self._ids(rows)) if self._many else None)

    def _ids(self, rows: Columns) -> np.ndarray:
        return np.stack([rows.levels[name] for name in self._many], axis=1)

    def _joined(self, rows: Columns, rates: np.ndarray | None) -> np.ndarray:
        columns = [rows.levels[name].astype(np.float64) for name in self._few] + list(rows.numbers.values())
        for place, name in enumerate(self._many):
            assert rates is not None
            # A level may be known and yet have no training row: the one of rare levels.
            known, ids = self._counts[name], rows.levels[name]
            columns += [rates[:, place], np.where(ids < len(known), known[np.minimum(ids, len(known) - 1)], 0.0)]
        return np.stack(columns, axis=1)


def fitted(rows: dict[str, Columns], seed: int, rate: float = 0.05, trees: int = 2000) -> dict[str, dict[str, float]]:
    """Metrics of validation and test rows, with the number of trees that the validation rows chose.

    Args:
        rows: by split.
        seed: of the target encoder's folds.
        rate: the learning rate.
        trees: the most trees.
    """
    train, validation, test = (rows[split] for split in ("train", "validation", "test"))
    features = Features(train, seed)
    model = HistGradientBoostingClassifier(
        learning_rate=rate, max_iter=trees, early_stopping=True, n_iter_no_change=_PATIENCE, tol=0.0,
        categorical_features=features.categorical, random_state=seed,
    )  # fmt: skip
    inputs = {"validation": features(validation), "test": features(test)}
    weights = {"sample_weight": train.weight, "sample_weight_val": validation.weight}
    model.fit(
        features.matrix, train.label, X_val=inputs["validation"], y_val=validation.label,
        **{name: value for name, value in weights.items() if value is not None},
    )  # fmt: skip
    # The first score is that of no tree at all; boosting went on for a while after the best.
    best = max(1, int(np.argmax(model.validation_score_)))
    found: dict[str, dict[str, float]] = {}
    for split, matrix in inputs.items():
        staged = model.staged_predict_proba(matrix)
        probabilities = next(itertools.islice(staged, best - 1, None))[:, 1]
        found[split] = all_metrics(rows[split].label, probabilities, rows[split].weight)
    return found | {"model": {"trees": best, "features": features.matrix.shape[1]}}


def main(argv: Sequence[str]) -> None:
    """Prints a line for each seed, and the mean and standard deviation of the test figures."""
    del argv
    rows = load_columns(flags.FLAGS.data_dir, flags.FLAGS.raw)
    found = []
    for seed in range(flags.FLAGS.seeds):
        start = time.monotonic()
        found.append(fitted(rows, seed))
        one = found[-1]
        said = ", ".join(f"{split} AUC {one[split]['auc']:.5f} LogLoss {one[split]['logloss']:.5f}" for split in SCORED)
        print(f"seed {seed}: {said}, {one['model']['trees']} trees, {time.monotonic() - start:.0f} s", flush=True)
    for name in ("auc", "logloss", "normalized_entropy", "calibration"):
        values = [one["test"][name] for one in found]
        spread = f" ± {np.std(values, ddof=1):.5f}" if len(values) > 1 else ""
        print(f"test {name}: {np.mean(values):.5f}{spread}")
    if flags.FLAGS.out:
        Path(flags.FLAGS.out).write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "Prepared data.", required=True)
    flags.DEFINE_list("raw", None, "The raw files that it was prepared from, in their order.", required=True)
    flags.DEFINE_integer("seeds", 3, "Fits with seeds 0, 1, ..", lower_bound=1)
    flags.DEFINE_string("out", None, "JSON file that takes the figures.")
    run_main(main)
