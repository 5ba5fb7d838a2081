"""Tuning one model: Optuna proposes, and runs of `ada_ensemble_tf.comparison.runs` measure.

Trials are ranked by the validation metric that `config.monitor` names.

OUT/<model>/journal.log   the trials, as Optuna keeps them
OUT/<model>/<hash>/       a trial's run, named by its config: an interrupted one goes on, the same one is not run twice

The test split is not scored. A trial's folders are deleted when it has ended, but for its row of TensorBoard's HParams
table.
"""

import ast
import contextlib
import copy
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from ml_collections import ConfigDict
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from ada_ensemble_tf.comparison.configs import config_hash
from ada_ensemble_tf.comparison.runs import HPARAMS_FOLDER, Run, Workers
from ada_ensemble_tf.comparison.search import grid, kept, value
from ada_ensemble_tf.configs.defaults import TUNED_BY, Tuned, load_tuned
from ada_ensemble_tf.configs.overrides import override
from ada_ensemble_tf.configs.search_spaces import Choice, LogUniform, Range, Space, overrides, present
from ada_ensemble_tf.trained.config_ranges import MONITORED, Monitored
from ada_ensemble_tf.trained.run_files import flat
from data_pipelines.errors import UserError
from data_pipelines.locks import LOCK_FILE, alone_at
from data_pipelines.output import is_written_through, write_complete

logger = logging.getLogger(__name__)

RANDOM_TRIALS = 6
"""Trials before the sampler models the results so far."""


class Tuning:
    """The trials of one model.

    Args:
        config: the config to improve.
        space: what may be changed.
        data_dir: the prepared data.
        fingerprint: the data's fingerprint.
        folder: OUT/<model>.
        seed: the sampler's seed; the trainings use the config's.
        search: "tpe", which learns from the results so far, or "grid", see `search.grid`.

    Raises:
        UserError: if the folder holds trials of another config, space, search or data, or that were judged by another
            metric, or a journal that cannot be read.
    """

    def __init__(
        self,
        config: ConfigDict,
        space: Space,
        data_dir: Path,
        fingerprint: str,
        folder: Path,
        seed: int,
        search: str = "tpe",
    ):
        self.config, self.space = config, space
        self._monitored = MONITORED[config.monitor]
        self._grid = grid(space, seed) if search == "grid" else None
        self.data_dir, self.fingerprint, self.folder, self.seed = data_dir.absolute(), fingerprint, folder, seed
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        storage, self._study = _opened(folder / "journal.log", config.model.name, self._monitored)
        self._check_same_study()
        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            # Left by a process that was killed. When proposed again, it goes on in the same run's folder.
            storage.set_trial_user_attr(trial._trial_id, "interrupted", True)
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._study.enqueue_trial(trial.params, {"defaults": True} if "defaults" in trial.user_attrs else None)

    def _check_same_study(self) -> None:
        # Values of searched keys may differ by now, because the config may read values tuned before.
        searched = self._searched()
        now = {key: value for key, value in flat(self.config.to_dict()).items() if key not in searched}
        now |= {f"range of {name}": repr(allowed) for name, allowed in self.space.items()}
        now |= {"data": self.fingerprint, "seed of tuning": self.seed}
        if self._grid is not None:
            now["search"] = "grid"
        attributes = self._study.user_attrs
        if "same" not in attributes:
            # Values outside their range are run as they are, but the sampler cannot learn from them.
            self._study.enqueue_trial(present(self.space, self.config), {"defaults": True}, skip_if_exists=True)
            self._study.set_user_attr("config", repr(self.config.to_dict()))
            self._study.set_user_attr("same", now)
            return
        before = attributes["same"]
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                raise UserError(
                    f"{self.folder}: tuned with {key}={before.get(key)!r}, now {now.get(key)!r}; choose another --out"
                )
        before = flat(ast.literal_eval(attributes["config"]))
        self.config = with_values(self.config, {key: before[key] for key in searched})

    def _searched(self) -> set[str]:
        """The config keys that trials set."""
        lowest = {name: r.values[0] if isinstance(r, Choice) else r.low for name, r in self.space.items()}
        return set(overrides(lowest))

    def trials(self) -> list[FrozenTrial]:
        """The trials that have ended, with a value or in failure."""
        ended = self._study.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL))
        return [trial for trial in ended if "interrupted" not in trial.user_attrs]

    def run(self, trials: int, workers: Workers) -> None:
        """Runs until `trials` have ended, or a grid has; the first is the config as it is."""
        started, before = time.monotonic(), len(self.trials())
        if self._grid is not None:
            waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            trials = min(trials, before + len(waiting) + len(self._unseen()))
        running: dict[Path, list[Trial]] = {}
        while len(self.trials()) < trials:
            while len(self.trials()) + sum(map(len, running.values())) < trials and not workers.full:
                trial = self._ask()
                run = self._run_of(trial)
                if run.done():
                    self._tell(trial, run, None)
                elif run.folder in running:
                    running[run.folder].append(trial)
                else:
                    running[run.folder] = [trial]
                    workers.start(run)
            if workers.busy:
                run, failure = workers.wait()
                for trial in running.pop(run.folder):
                    self._tell(trial, run, failure)
                done = len(self.trials())
                left = (time.monotonic() - started) / max(done - before, 1) * (trials - done) / 60.0
                logger.info("%s: %d of %d trials; about %.1f minutes left", self.config.model.name, done, trials, left)

    def _unseen(self) -> list[dict[str, Any]]:
        """The points of the grid that no trial has had."""
        asked = [trial.params for trial in self.trials()]
        asked += [trial.params for trial in self._study.get_trials(states=(TrialState.RUNNING,))]
        asked += [trial.system_attrs["fixed_params"] for trial in self._study.get_trials(states=(TrialState.WAITING,))]
        return [point for point in self._grid or () if point not in asked]

    def best(self, parsimony: float = 0.0) -> Tuned | None:
        """The best of the trials, or a smaller one within `parsimony`, see `search.kept`; None if all failed."""
        ended = self.trials()
        complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
        if not complete:
            return None
        trial = kept(complete, parsimony, self._monitored.sign)
        best: Tuned = {
            "config": self._run_of(trial).config,
            "values": trial.user_attrs["values"],
            "trials": len(ended),
            "failed": len(ended) - len(complete),
            "fingerprint": self.fingerprint,
        }
        # One key by metric, so that a file never shows a LogLoss as AUC.
        best[TUNED_BY[self.config.monitor]] = value(trial)
        return best

    def _ask(self) -> Trial:
        number = len(self._study.get_trials(deepcopy=False))
        # Seeded by the trial, so that a resumed search does not repeat earlier proposals.
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=RANDOM_TRIALS, seed=self.seed * 100_003 + number, constant_liar=True
        )
        if self._grid is not None and not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.enqueue_trial(self._unseen()[0])
        trial = self._study.ask()
        if "defaults" in trial.user_attrs:
            for name in present(self.space, self.config):
                _suggest(trial, name, self.space[name])
            values = {key: value for key, value in flat(self.config.to_dict()).items() if key in self._searched()}
        else:
            sample = {name: _suggest(trial, name, allowed) for name, allowed in self.space.items()}
            values = overrides(sample)
        trial.set_user_attr("values", values)
        return trial

    def _run_of(self, trial: Trial | FrozenTrial) -> Run:
        config = with_values(self.config, trial.user_attrs["values"])
        model, folder = config.model.name, self.folder / config_hash(config.to_dict())
        hparams = {"model": model} | trial.user_attrs["values"]
        return Run(model, config.to_dict(), folder, self.data_dir, hparams=hparams)

    def _tell(self, trial: Trial, run: Run, failure: str | None) -> None:
        if failure is None:
            found = run.metrics()["validation"][self.config.monitor]
            self._study.tell(trial, found)
            result = f"validation {self._monitored.written} {found:.5f}"
        else:
            trial.set_user_attr("failure", failure)
            self._study.tell(trial, state=TrialState.FAIL)
            result = f"failed: {failure}"
        values = ", ".join(f"{key}={value}" for key, value in trial.user_attrs["values"].items())
        logger.info("%s, trial %d (%s): %s", run.label, trial.number, values, result)
        _delete_folders(run.folder, run.folder / HPARAMS_FOLDER)


def with_values(config: ConfigDict, values: Mapping[str, Any]) -> ConfigDict:
    """A locked copy of a config with other values, in which keys that derive from others follow them."""
    changed = copy.deepcopy(config).unlock()
    override(changed, values)
    return changed.lock()


def write_best(path: Path, model: str, best: Tuned) -> None:
    """Puts a model's best values into a file that may hold those of other models.

    Several processes may do so at once. A pipe or device gets the one model's values.

    Raises:
        UserError: the file is malformed, or another process keeps it locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    target = Path(os.path.realpath(path))
    locked = alone_at(path, target.with_name(f".{target.name}{LOCK_FILE}"), "choose another --write")
    with contextlib.nullcontext() if is_written_through(path) else locked:
        known = load_tuned(path)
        known[model] = best
        write_complete(path, json.dumps(known, indent=2, sort_keys=True) + "\n")


def _opened(journal: Path, model: str, monitored: Monitored) -> tuple[JournalStorage, optuna.Study]:
    """The storage of trials in a file, and the study of a model in it; both may be new."""
    direction = StudyDirection.MAXIMIZE if monitored.sign > 0 else StudyDirection.MINIMIZE
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        study = optuna.create_study(storage=storage, study_name=model, direction=direction, load_if_exists=True)
        before = study.direction
    except OSError:
        raise
    except Exception as error:
        # Optuna does not check what it reads, so a strange file ends in any kind of error.
        raise UserError(
            f"{journal}: not a readable journal of trials ({type(error).__name__}: {error}); delete {journal.parent}, "
            "or choose another --out"
        ) from error
    if before != direction:
        raise UserError(f"{journal}: its trials were not ranked by {monitored.written}; choose another --out")
    return storage, study


def _delete_folders(folder: Path, keep: Path) -> None:
    """Deletes a folder's subfolders, except `keep`, if that exists somewhere in it."""
    for path in folder.iterdir():
        if path in keep.parents and keep.exists():
            _delete_folders(path, keep)
        elif path.is_dir() and path != keep:
            shutil.rmtree(path)


def _suggest(trial: Trial, name: str, allowed: Range) -> Any:
    if isinstance(allowed, Choice):
        return trial.suggest_categorical(name, allowed.values)
    if isinstance(allowed, LogUniform):
        return trial.suggest_float(name, allowed.low, allowed.high, log=True)
    return trial.suggest_int(name, allowed.low, allowed.high, step=allowed.step)
