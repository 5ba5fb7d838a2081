"""What a model is measured against: the base rate, and a logistic regression where one was trained beside it."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.delong import delong
from ada_ensemble_tf.evaluation.intervals import Interval, Z
from ada_ensemble_tf.trained.run_files import ModelFile, load_data_file
from data_pipelines.errors import UserError
from data_pipelines.json_files import load_json

logger = logging.getLogger(__name__)

BASE_RATE, SIMPLE_MODEL = "base rate", "logistic_regression"


class Baseline(NamedTuple):
    """Another model's predictions for the same test rows.

    `where` says what it is: a working directory, or how it predicts.
    """

    name: str
    probabilities: np.ndarray
    """`[N]`."""
    where: str


class Difference(NamedTuple):
    """A model's AUC and LogLoss minus another's on the same rows, with 95 % intervals over the choice of rows."""

    auc: Interval
    logloss: Interval

    @property
    def better(self) -> bool:
        """Whether one of the two is better beyond noise and the other is not worse."""
        wins = self.auc.low > 0.0 or self.logloss.high < 0.0
        return wins and not self.worse

    @property
    def worse(self) -> bool:
        """Whether one of the two is worse beyond noise."""
        return self.auc.high < 0.0 or self.logloss.low > 0.0

    def written(self) -> str:
        """Both with their intervals."""
        auc, logloss = (f"{one.value:+.5f} ({one.low:+.5f} to {one.high:+.5f})" for one in self)
        return f"AUC {auc}, LogLoss {logloss}"


def difference(
    labels: np.ndarray, probabilities: np.ndarray, other: np.ndarray, weights: np.ndarray | None = None
) -> Difference:
    """The difference of two models on the same rows: AUC by DeLong, LogLoss by the normal interval of its mean.

    Args:
        labels: `[N]` in {0, 1}.
        probabilities: `[N]` of the model.
        other: `[N]` of the other model.
        weights: `[N]`, or None.
    """
    return Difference(
        _auc_difference(labels, probabilities, other, weights),
        logloss_difference(labels, probabilities, other, weights),
    )


def _auc_difference(
    labels: np.ndarray, probabilities: np.ndarray, other: np.ndarray, weights: np.ndarray | None
) -> Interval:
    try:
        found = delong(labels, probabilities, other, weights)
    except ValueError:
        # Fewer than two rows of a label.
        return Interval(*[float("nan")] * 3)
    half = Z * found.standard_error
    value = found.auc - found.other_auc
    return Interval(value, value - half, value + half)


def logloss_difference(
    labels: np.ndarray, probabilities: np.ndarray, other: np.ndarray, weights: np.ndarray | None = None
) -> Interval:
    """LogLoss minus that of the other model, by row, with the normal interval of its (weighted) mean."""
    more = _losses(labels, probabilities) - _losses(labels, other)
    w = np.ones(len(more)) if weights is None else np.asarray(weights, np.float64)
    mean = metrics.mean(more, weights)
    half = Z * float(np.sqrt(np.sum((w * (more - mean)) ** 2)) / w.sum())
    return Interval(mean, mean - half, mean + half)


def _losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    p = np.clip(np.asarray(probabilities, np.float64), metrics.SMALLEST, 1.0 - metrics.SMALLEST)
    return -np.where(np.asarray(labels) > 0.5, np.log(p), np.log1p(-p))


def simple_model_beside(workdir: Path, fingerprint: str) -> Path | None:
    """A complete training of a logistic regression on the same data, in a directory near that of a model.

    Looked at are the directories beside it, and, for a run OUT/LABEL/seed_0 of a comparison, OUT/*/seed_0.
    """
    for folder in _near(workdir):
        try:
            if _is_simple_model(folder, fingerprint):
                return folder
        except UserError as error:
            # A neighbour's damage is no reason not to report on this one.
            logger.info("%s is not compared with: %s", folder, error)
    return None


def _near(workdir: Path) -> Iterator[Path]:
    # Named as the caller named the model's, unless that name does not say where its neighbours are.
    workdir = workdir if workdir.name not in ("", "..") else workdir.resolve()
    outside = workdir.parent.parent if workdir.parent.name not in ("", "..") else workdir.resolve().parent.parent
    for folder in [*sorted(workdir.parent.glob("*")), *sorted(outside.glob(f"*/{workdir.name}"))]:
        trained = (folder / "model.json").is_file() and (folder / "metrics.json").is_file()
        if trained and folder.resolve() != workdir.resolve():
            yield folder


def _is_simple_model(folder: Path, fingerprint: str) -> bool:
    if load_json(folder / "model.json", ModelFile).model != SIMPLE_MODEL:
        return False
    return load_data_file(folder).fingerprint == fingerprint
