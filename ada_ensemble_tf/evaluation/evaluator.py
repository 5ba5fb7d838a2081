"""Scores whole splits with a model in training."""

import tensorflow as tf
from ml_collections import ConfigDict

from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.evaluation.expert_correlation import ExpertCorrelation
from ada_ensemble_tf.evaluation.scoring import Scored, Scorer
from ada_ensemble_tf.models import CTRModel
from data_pipelines.read.dataset import PreparedData
from data_pipelines.read.inputs import Inputs


class Evaluator:
    """Scores held-out splits; each worker scores its part. Traced once, so keep it for as long as the model.

    Args:
        model: a compiled `CTRModel`.
        data: the prepared data.
        config: see `ada_ensemble_tf/configs/defaults.py`.
        distribution: the replicas and workers that train together.
        gate_source: the split that gives gates a share of its rows; None if gates have no rows of their own.
    """

    def __init__(
        self,
        model: CTRModel,
        data: PreparedData,
        config: ConfigDict,
        distribution: Distribution,
        gate_source: str | None,
    ):
        self._data, self._config, self._distribution = data, config, distribution
        self._gate_source = gate_source
        self._scorer = Scorer(model, distribution)
        self._correlation = ExpertCorrelation(model, distribution)

    def score(self, split: str) -> Scored:
        """A split's rows, in order, on each worker.

        On the validation split these are the rows for early stopping, which the gates have not learned from.
        """
        with self._data.reading():
            return self._scorer.score(self._batches(split, self._distribution.worker, self._distribution.workers))

    def expert_correlation(self, split: str, rows: int) -> dict[str, dict[str, float]]:
        """`ExpertCorrelation` on a split's first rows; {} on workers other than the chief, where nobody reads it.

        Where workers share tables, all compute it together.
        """
        if not self._distribution.is_chief and self._distribution.mesh is None:
            return {}
        with self._data.reading():
            return self._correlation(self._batches(split), rows)

    def first_rows(self, split: str, rows: int) -> Inputs:
        """The inputs of a split's first rows, the same rows on all workers."""
        parts, left = [], rows
        with self._data.reading():
            for inputs, labels, *_ in self._batches(split):
                parts.append(tf.nest.map_structure(lambda x, rows=left: x[:rows], inputs))
                left -= len(labels)
                if left <= 0:
                    break
        return tf.nest.map_structure(lambda *x: tf.concat(x, axis=0), *parts)

    def _batches(self, split: str, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        used = self._config.gate_share if split == self._gate_source else 0.0
        size = self._config.eval_batch_size
        return self._data.evaluation(split, size, gate_share=used, worker=worker, workers=workers)
