"""A training that goes on from where another one ended."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from ada_ensemble_tf.arguments import plain
from ada_ensemble_tf.models import CTRModel, model_inputs
from ada_ensemble_tf.trained.checkpoint import Checkpoint, SavedValues, saved_names
from ada_ensemble_tf.trained.run_files import ModelFile, difference, load_data_file
from ada_ensemble_tf.trained.start_file import Start, flag_of, load_start
from ada_ensemble_tf.trained.workdir import MAY_CHANGE, Workdir
from ada_ensemble_tf.training.grown_rows import assign_rows, row_layers, rows_to_take, state_of_rows
from ada_ensemble_tf.training.vectors import frozen_numbers
from data_pipelines.errors import UserError
from data_pipelines.fields.extension import rows_before
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.json_files import load_json
from data_pipelines.read.dataset import PreparedData

logger = logging.getLogger(__name__)

MAY_CHANGE_BETWEEN_DAYS = (*MAY_CHANGE, "eval_every", "eval_batch_size", "monitor")
"""Config keys that may differ from those of the training that is continued."""


class Continuation:
    """A training that goes on: model, optimisers, step, schedules and moving statistics, on other data or the same.

    On the data that it was trained on, everything goes on, hooks and the position in the data included, as if it had
    never ended. On data that extend them (`prepare --extend`), tables and the optimisers' state of their rows grow: old
    levels keep their rows' values, and rows of new levels begin as in a new model. Early stopping and the average of
    the last evaluations begin anew then, because other rows validate.

    Args:
        workdir: the training's directory.
        config: a config.
        data: the data to go on with.

    Attributes:
        start: what is recorded about it.
        arguments: the model's.

    Raises:
        UserError: the training is not complete, was of another config, or the data do not extend its data.
    """

    def __init__(self, workdir: str | Path, config: ConfigDict, data: PreparedData):
        self._run, self._flag = Workdir(workdir), flag_of("continued", workdir)
        if not self._run.metrics_file.exists():
            raise UserError(f"{self._flag}: no complete training there; give its own command again, which ends it")
        other = difference(self._run.config(), "", config.to_dict(), "", MAY_CHANGE_BETWEEN_DAYS)
        if other is not None:
            raise UserError(f"{self._flag}: {other}; keep the config, or take the weights alone with --warm_start")
        trained_on, before = load_data_file(self._run.path), load_start(self._run.path)
        self._same = trained_on.fingerprint == data.fingerprint
        extension = data.preparation.extension
        if not self._same and (extension is None or trained_on.fingerprint not in extension.of):
            raise UserError(
                f"{data.path}: does not extend the data that {self._run.path} was trained on; prepare it with "
                f"--extend={trained_on.data_dir}"
            )
        self.arguments = arguments_for(self._run.path, data)
        self._check_arguments(data)
        self._data = data
        self._saved = SavedValues(self._run.path / "checkpoints" / "last")
        path = f"{self.arguments['name']}.step"
        step = int(self._saved.value(self._saved.by_path().get(path, path)))
        self.start = Start(
            "continued", str(self._run.path.absolute()), trained_on.fingerprint, step,
            before.first_step if self._same else step,
        )  # fmt: skip

    def _check_arguments(self, data: PreparedData) -> None:
        shift = math.log(data.negative_rate)
        if not math.isclose(self.arguments.get("logit_shift", 0.0), shift, abs_tol=1e-12):
            rate = math.exp(self.arguments.get("logit_shift", 0.0))
            raise UserError(
                f"{data.path}: prepared with --negative_rate={data.negative_rate:g}, but {self._run.path} was trained "
                f"with {rate:g}; prepare it with the same rate"
            )
        if not self._same and self.arguments.get("crosses"):
            raise UserError(
                f"{self._flag}: config.model.crosses hash row numbers, which an extension moves; declare them as "
                "cross fields in the schema, or train anew"
            )

    def load(self, model: CTRModel, hooks_state: Sequence[tf.Variable], save_best: Callable[[int], None]) -> None:
        """See `Beginning`. Raises UserError if the checkpoint is of another model, or state has no known rows."""
        checkpoints = self._run.path / "checkpoints"
        if self._same:
            Checkpoint(checkpoints / "best", model.variables).restore()
            save_best(self._run.results()["best_step"])
            Checkpoint(checkpoints / "last", [*model.variables, *model.optimizer_variables, *hooks_state]).restore()
            logger.info("goes on from step %d of %s with the same data", self.start.step, self._run.path)
            return
        rows = self._rows()
        moved = {
            id(v): rows_to_take(layer, rows)
            for layer in row_layers(model)
            for v in (layer.table, *state_of_rows(model, layer.table))
        }
        variables = [*model.variables, *model.optimizer_variables]
        numbers = frozen_numbers(model)
        for variable, name in zip(variables, saved_names(variables), strict=True):
            if id(variable) in numbers:
                continue
            value = self._saved.value(name)
            if id(variable) in moved:
                assign_rows(variable, value, moved[id(variable)])
            elif tuple(value.shape) != tuple(variable.shape):
                raise UserError(
                    f"{self._flag}: {variable.path} has shape {tuple(value.shape)} there and {tuple(variable.shape)} "
                    "here, and it is not known which of its rows belong to which levels"
                )
            else:
                variable.assign(value)
        known = int((rows >= 0).sum())
        logger.info(
            "goes on from step %d of %s: %s rows of the table are old, %s are new",
            self.start.step, self._run.path, f"{known:,}", f"{len(rows) - known:,}",
        )  # fmt: skip

    def _rows(self) -> np.ndarray:
        old = Vocabularies.load(self._run.path, self._run.schema())
        try:
            return rows_before(old, Vocabularies.load(self._data.path, self._data.schema))
        except UserError as error:
            raise UserError(f"{self._data.path}: does not extend the data of {self._run.path}: {error}") from error


def arguments_for(folder: Path, data: PreparedData) -> dict[str, Any]:
    """The arguments of the model in a working directory, for the inputs of `data`.

    A config gives lengths in epochs, which would be other numbers of steps on other data.
    """
    saved = load_json(folder / "model.json", ModelFile).arguments
    return {**saved, **{name: plain(value) for name, value in model_inputs(data.schema).items()}}
