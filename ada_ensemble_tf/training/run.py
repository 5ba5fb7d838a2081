"""A training run from config to metrics.json."""

import logging
import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf import metrics
from ada_ensemble_tf.training.loop import TrainingLoop
from ada_ensemble_tf.training.scoring import Scorer
from ada_ensemble_tf.training.setup import build_model, compile_model, seed_everything
from ada_ensemble_tf.training.workdir import Workdir, write_json
from data_pipelines.dataset import PreparedData
from data_pipelines.errors import DataError
from data_pipelines.json_files import load_json

logger = logging.getLogger(__name__)

CORRELATION_ROWS = 8192
"""Held-out rows, test before validation, of which metrics.json says how alike the experts are."""


def train(config, data: PreparedData, workdir: str | Path, score_test: bool = True) -> dict[str, Any]:
    """Trains, evaluates and writes metrics.json; goes on where an earlier run of the same config stopped.

    Args:
        config: a config of `experiments/`.
        data: the prepared data.
        workdir: see `ada_ensemble_tf.training.workdir`.
        score_test: whether the test split is scored; tuning leaves it alone.

    Returns:
        What metrics.json holds.

    Raises:
        DataError: for a directory of another run, data that cannot be learned from, or a config value that does not
            fit.
    """
    for split in ("train", "validation", "test"):
        if not 0 < data.positives[split] < data.rows[split]:
            raise DataError(
                f"{data.path}: the {split} split has {data.positives[split]} positives in {data.rows[split]} rows; "
                "training and AUC need rows of both labels: prepare more data or another --split"
            )
    seed_everything(config.seed, config.deterministic)
    model = build_model(config, data)
    compile_model(model, config)
    directory = Workdir(workdir)
    directory.claim(config.to_dict(), data)
    directory.save_model_config(model)
    loop = TrainingLoop(model, data, config, directory.path)
    if directory.metrics_file.exists() and loop.finished():
        logger.info("%s: already trained; raise config.max_epochs to go on, or use another --workdir", directory.path)
        return load_json(directory.metrics_file)
    loop.run()
    splits = {"validation": loop.validation_batches()}
    if score_test:
        splits["test"] = data.evaluation("test", config.eval_batch_size)
    scores, flops = {}, 0.0
    for split, batches in splits.items():
        scores[split], flops = score_split(loop.scorer, batches, data)
    with data.reading():
        correlation = loop.expert_correlation(splits["test" if score_test else "validation"], CORRELATION_ROWS)
    results = scores | {
        "flops_per_example": flops,
        "expert_correlation": correlation,
        "parameters": sum(int(np.prod(v.shape)) for v in model.trainable_variables),
        "examples_per_second": loop.examples_per_second(),
        "best_step": int(loop.best_step.numpy()),
        "config": config.to_dict(),
        "data_fingerprint": data.fingerprint,
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }
    write_json(directory.metrics_file, results)
    return results


def score_split(scorer: Scorer, batches, data: PreparedData) -> tuple[dict[str, float], float]:
    """(metrics of the batches, mean FLOPs per example as routed)."""
    with data.reading():
        labels, probabilities, flops = scorer.score(batches)
    return metrics.all_metrics(labels, probabilities), flops
