"""A training run from config to metrics.json."""

import contextlib
import dataclasses
import logging
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from ada_ensemble_tf.devices.cluster import read_cluster
from ada_ensemble_tf.devices.dense_shards import sharded_layers
from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.devices.placement import Placement
from ada_ensemble_tf.devices.sharding import sharded_tables
from ada_ensemble_tf.devices.strategies import make_distribution
from ada_ensemble_tf.evaluation import unknown_ids
from ada_ensemble_tf.evaluation.calibrating import FITS
from ada_ensemble_tf.evaluation.evaluator import Evaluator
from ada_ensemble_tf.evaluation.scoring import Scorer
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.plugins import load_plugins
from ada_ensemble_tf.trained.config_ranges import check_config
from ada_ensemble_tf.trained.run_files import difference
from ada_ensemble_tf.trained.shared_tables import logical_shape
from ada_ensemble_tf.trained.start_file import Start
from ada_ensemble_tf.trained.workdir import Workdir
from ada_ensemble_tf.training.beginnings import Beginning, beginning
from ada_ensemble_tf.training.dense_layers import make_dense_sharding, refuse_undividable
from ada_ensemble_tf.training.hooks import Hook
from ada_ensemble_tf.training.loop import TrainingLoop
from ada_ensemble_tf.training.setup import build_model, check_gate_updates, compile_model, model_from, seed_everything
from ada_ensemble_tf.training.shared_tables import log_placements, make_sharding, refuse_unshardable
from ada_ensemble_tf.training.stopping import StopRequest
from ada_ensemble_tf.training.vectors import check_optimizer, start_from_vectors
from data_pipelines.errors import UserError
from data_pipelines.json_files import save_json
from data_pipelines.read.dataset import PreparedData

logger = logging.getLogger(__name__)

_SHARE_BATCH, _SHARE_BATCHES = 8192, 8
"""The shares of unknown ids come from this many training rows, which are stored in random order."""
CORRELATION_ROWS = 8192
"""The correlation of experts in metrics.json comes from this many held-out rows, of test if it is scored."""


def train(
    config: ConfigDict,
    data: PreparedData,
    workdir: str | Path,
    score_test: bool = True,
    hooks: Sequence[Hook] = (),
    stop: StopRequest | None = None,
    command: str = "",
    continue_from: str | Path | None = None,
    warm_start: str | Path | None = None,
) -> dict[str, Any]:
    """Trains, evaluates and writes metrics.json; resumes where an earlier run of the same config stopped.

    Several devices or machines train together, see `devices.distribution`; only the chief writes.

    Args:
        config: a config, such as those of `configs/datasets/`.
        data: the prepared data.
        workdir: the working directory, see `ada_ensemble_tf.trained.workdir`.
        score_test: whether to score the test split; tuning does not.
        hooks: your own hooks, see `training.hooks.Hook`.
        stop: if given, signals are handled as described in `training.stopping`; for the process of a command line.
        command: the command line that trains, for the report and TensorBoard.
        continue_from: the working directory of a complete training to go on with, see `continuation.Continuation`.
            `config.max_epochs` and `config.max_steps` count from there.
        warm_start: the working directory of a training whose weights to begin with, see `warm_start.WarmStart`.

    Returns:
        The content of metrics.json.

    Raises:
        UserError: if the directory belongs to another run, the data cannot be learned from, a config value does not fit
            or is out of range, or the training to begin from does not fit; also if other workers do not appear, do not
            fit, or restored another checkpoint.
        Stopped: if this process or another worker was asked to end.
    """
    check_config(config.to_dict())
    load_plugins(config.plugins)
    _check_labels(data)
    directory = Workdir(workdir)
    # Check before waiting for the others: a worker restarted at the very end would wait for workers that are done.
    if read_cluster() is not None and (results := _results_of(directory, config, data)) is not None:
        return results
    with contextlib.closing(make_distribution(config.strategy, config.worker_timeout)) as distribution:
        if stop is not None:
            stop.listen(distribution.stop_flag)
        begin = beginning(directory.path, config, data, continue_from, warm_start)
        return _train(config, data, directory, score_test, hooks, stop, distribution, begin, command)


def _train(
    config: ConfigDict,
    data: PreparedData,
    directory: Workdir,
    score_test: bool,
    hooks: Sequence[Hook],
    stop: StopRequest | None,
    distribution: Distribution,
    begin: Beginning,
    command: str,
) -> dict[str, Any]:
    """`train` after all workers have appeared."""
    model, placements = _make_model(config, data, distribution, begin)
    with _claimed(directory, config, data, model, distribution, begin.start):
        if distribution.is_chief:
            directory.save_placements(placements, [field.name for field in data.schema.fields])
        loop = TrainingLoop(model, data, config, directory.path, distribution, hooks, stop, begin)
        if directory.metrics_file.exists() and loop.finished() and _is_calibrated_as(directory.results(), config):
            logger.info(
                "%s: already trained; raise config.max_epochs (and config.max_steps, if set) to go on, or use another "
                "--workdir",
                directory.path,
            )
            return directory.results()
        if distribution.is_chief:
            directory.remove_results()
        loop.run()
        results = _results(loop, ("validation", "test") if score_test else ("validation",))
        results |= {"command": command} if command else {}
        if begin.start.kind != "new":
            results["start"] = dataclasses.asdict(begin.start)
        if distribution.is_chief:
            directory.save_calibration(model.calibration)
            save_json(directory.metrics_file, results)
        # The others stay until everything is written, because a worker that exits looks as if it had died.
        distribution.agree(True)
    return results


def _check_labels(data: PreparedData) -> None:
    """Raises UserError if a split has rows of only one label."""
    for split in ("train", "validation", "test"):
        if not 0 < data.positives[split] < data.rows[split]:
            raise UserError(
                f"{data.path}: the {split} split has {data.positives[split]} positives in {data.rows[split]} rows; "
                "training and AUC need rows of both labels: prepare more data or another --split"
            )


def _make_model(
    config: ConfigDict, data: PreparedData, distribution: Distribution, begin: Beginning
) -> tuple[CTRModel, dict[str, Placement]]:
    """(the compiled model with its initial weights on all devices, the placements of the tables that they share)."""
    distribution.worker_batch(config.batch_size)
    dense = make_dense_sharding(config, distribution)
    sharding = make_sharding(config, data, distribution)
    check_gate_updates(config, distribution.replicas)
    seed_everything(config.seed, config.deterministic)
    for key, shared in (("tables='columns'", sharding), (f"dense={config.sharding.dense!r}", dense)):
        if shared is not None and begin.source is not None:
            raise UserError(
                f"config.sharding.{key} does not support --continue_from and --warm_start: leave 'replicated'"
            )
    with distribution.scope(), sharded_tables(sharding), sharded_layers(dense):
        arguments = begin.arguments
        model = build_model(config, data) if arguments is None else model_from(arguments, config.model.name)
        if arguments is not None:
            start_from_vectors(model, data)
        refuse_unshardable(model, config)
        refuse_undividable(model, config)
        compile_model(model, config)
        check_optimizer(model, data)
    if sharding is not None:
        log_placements(sharding, data)
    return model, {} if sharding is None else sharding.placements


def _results(loop: TrainingLoop, splits: Sequence[str]) -> dict[str, Any]:
    """The content of metrics.json for a training that has ended."""
    scores, flops = _scores(loop.evaluator, splits)
    calibrated = {}
    if loop.config.calibration != "none":
        scored = loop.evaluator.score("validation")
        fit = FITS[loop.config.calibration]
        loop.model.calibration = fit(scored.labels, scored.probabilities, scored.weights)
        before, name = scores, "expected_calibration_error"
        # Traced anew: the functions of the loop's evaluator give the logits as they are.
        scores, flops = _scores(loop.make_evaluator(), splits)
        errors = {split: {"before": before[split][name], "after": scores[split][name]} for split in splits}
        calibrated = {"calibrated": {"kind": str(loop.model.calibration), name: errors}}
    return (
        scores
        | calibrated
        | {
            "flops_per_example": flops,
            "expert_correlation": loop.evaluator.expert_correlation(splits[-1], CORRELATION_ROWS),
            "parameters": sum(int(np.prod(logical_shape(v))) for v in loop.model.trainable_variables),
            "examples_per_second": loop.progress.examples_per_second(),
            "best_step": int(loop.evaluation.best_step.numpy()),
            "config": loop.config.to_dict(),
            "data_fingerprint": loop.data.fingerprint,
            "versions": {
                "python": platform.python_version(),
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
            },
        }
    )


def _scores(evaluator: Evaluator, splits: Sequence[str]) -> tuple[dict[str, dict[str, float]], float]:
    """(metrics by split, FLOPs per example of the last)."""
    scores, flops = {}, 0.0
    for split in splits:
        scored = evaluator.score(split)
        scores[split], flops = scored.metrics(), scored.flops
    return scores, flops


def _is_calibrated_as(results: Mapping[str, Any], config: ConfigDict) -> bool:
    return results["config"].get("calibration", "none") == config.calibration


def _results_of(directory: Workdir, config: ConfigDict, data: PreparedData) -> dict[str, Any] | None:
    """The content of metrics.json if it belongs to this very config and data, else None."""
    if not directory.metrics_file.exists():
        return None
    results = directory.results()
    other = difference(results["config"], results["data_fingerprint"], config.to_dict(), data.fingerprint)
    return results if other is None else None


@contextlib.contextmanager
def _claimed(
    directory: Workdir,
    config: ConfigDict,
    data: PreparedData,
    model: CTRModel,
    distribution: Distribution,
    start: Start,
) -> Iterator[None]:
    """The chief locks the directory while the block runs and claims it for this run; the others check that it did."""
    with contextlib.ExitStack() as held:

        def claim():
            if distribution.is_chief:
                held.enter_context(directory.locked())
                directory.claim(config.to_dict(), data)
                directory.save_model_config(model)
                start.save(directory.path)
                _save_unknown_ids(directory, data)

        def check():
            if not distribution.is_chief:
                directory.check(config.to_dict(), data)

        for step in (claim, check):
            refused = None
            try:
                step()
            except (UserError, OSError) as error:
                refused = error
            # If one worker ends, all do; otherwise the others would consider it lost and wait for it.
            if not distribution.agree(refused is None):
                raise refused or UserError("another worker refused the run; see what it printed")
        yield


def _save_unknown_ids(directory: Workdir, data: PreparedData) -> None:
    """Saves the training split's shares of out-of-vocabulary ids, to compare with when other rows are scored."""
    file = directory.path / unknown_ids.FILE
    if not file.exists():
        batches = data.evaluation("train", _SHARE_BATCH).take(_SHARE_BATCHES)
        with data.reading():
            save_json(file, unknown_ids.training_shares(data.schema, batches))


def score_split(
    scorer: Scorer, batches: Iterable[tuple[Any, ...]], data: PreparedData
) -> tuple[dict[str, float], float]:
    """(metrics on the batches, mean FLOPs per example as routed)."""
    with data.reading():
        scored = scorer.score(batches)
    return scored.metrics(), scored.flops
