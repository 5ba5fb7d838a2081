"""A training that begins with the weights of another one."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.keras_private import random_states
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.optimizers.row_sparse import RowSparseOptimizer
from ada_ensemble_tf.trained.checkpoint import SavedValues
from ada_ensemble_tf.trained.run_files import is_trained, load_data_file
from ada_ensemble_tf.trained.start_file import Start, flag_of
from ada_ensemble_tf.trained.workdir import Workdir
from ada_ensemble_tf.training.grown_rows import assign_rows, row_layers, rows_to_take
from ada_ensemble_tf.training.vectors import frozen_numbers
from data_pipelines.errors import UserError
from data_pipelines.fields.extension import rows_by_name
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.read.dataset import PreparedData

logger = logging.getLogger(__name__)


class WarmStart:
    """The best weights of another training, by name; optimisers, step and random states are new.

    A variable is taken if the other model has one of the same name and shape. Of embedding tables, rows are taken by
    field and level, so the data may have other levels in another order. An optimiser whose state determines the
    weights, as FTRL's does, gets the state that gives the weights that were taken.

    Args:
        workdir: the other training's directory. It may be of another model, config and data.
        data: the data to train on.

    Attributes:
        start: what is recorded about it.
        arguments: None; the model is that of the config.

    Raises:
        UserError: nothing was trained there, or a file is damaged.
    """

    arguments = None

    def __init__(self, workdir: str | Path, data: PreparedData):
        self._run, self._flag, self._data = Workdir(workdir), flag_of("warm", workdir), data
        if not is_trained(self._run.path):
            raise UserError(f"{self._flag}: no trained model there; name the --workdir of a training")
        self._saved = SavedValues(self._run.path / "checkpoints" / "best")
        fingerprint = load_data_file(self._run.path).fingerprint
        self.start = Start("warm", str(self._run.path.absolute()), fingerprint)

    def load(self, model: CTRModel, hooks_state: Sequence[tf.Variable], save_best: Callable[[int], None]) -> None:
        """See `beginnings.Source`. Logs what was taken and what was not."""
        del hooks_state, save_best
        schema = self._run.schema()
        old, new = Vocabularies.load(self._run.path, schema), Vocabularies.load(self._data.path, self._data.schema)
        rows, reasons = rows_by_name(old, new)
        tables = {id(layer.table): rows_to_take(layer, rows) for layer in row_layers(model)}
        apart = {id(v) for v in (model.step, *random_states(model))} | frozen_numbers(model)
        places, taken = self._saved.by_path(), {}
        for variable in model.variables:
            if id(variable) in apart:
                continue
            name = places.get(variable.path.replace("/", "."))
            if name is None:
                reasons.append(f"{variable.path}: absent there")
                continue
            value, own_rows = self._saved.value(name), tables.get(id(variable))
            there, here = tuple(value.shape), tuple(variable.shape)
            if there[1:] != here[1:] or there[:1] != (here[:1] if own_rows is None else (schema.num_rows,)):
                reasons.append(f"{variable.path}: of shape {list(there)} there, {list(here)} here")
                continue
            _assign(variable, value, own_rows)
            taken[id(variable)] = own_rows
        _adopt(model, taken)
        self._tell(model, taken, rows, reasons, len(model.variables) - len(apart))

    def _tell(
        self, model: CTRModel, taken: dict[int, np.ndarray | None], rows: np.ndarray, reasons: list[str], of: int
    ) -> None:
        table = f", with {int((rows >= 0).sum()):,} of {len(rows):,} rows of each table" if taken else ""
        logger.info("took %d of %d variables from %s%s", len(taken), of, self._run.path, table)
        for reason in reasons:
            logger.info("not taken: %s", reason)
        if not any(id(variable) in taken for variable in model.trainable_variables):
            raise UserError(f"{self._flag}: no variable there has a name and shape of this model's; leave it out")


def _assign(variable: keras.Variable, value: np.ndarray, rows: np.ndarray | None) -> None:
    if rows is None:
        variable.assign(value)
    else:
        assign_rows(variable, value, rows)


def _adopt(model: CTRModel, taken: dict[int, np.ndarray | None]) -> None:
    """Gives optimisers the state that goes with the weights that were taken."""
    for optimizer, variables in model.groups().values():
        if not isinstance(optimizer, RowSparseOptimizer):
            continue
        for variable in (v for v in variables if id(v) in taken):
            rows, slots = taken[id(variable)], optimizer.slots_by_name(variable)
            # Rows that were not taken keep the state that they have.
            stay = None if rows is None else np.where(rows >= 0, np.arange(len(rows)), -1)
            (w,) = optimizer.read([variable.value])
            for name, state in optimizer.adopted(w).items():
                _assign(slots[name], np.asarray(state), stay)
            for average in optimizer.average_slots(variable)[:1]:
                average.assign(w)
