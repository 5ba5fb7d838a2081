"""A trained model with what belongs to it, from its working directory."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ada_ensemble_tf.inference.tables import Table, TableEncoder
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.trained.workdir import Workdir
from data_pipelines.fields.schema import Schema


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """What `load_run` gives."""

    model: CTRModel
    """With its best weights."""
    schema: Schema
    """The fields."""
    config: dict[str, Any]
    """The config it was trained with."""
    results: dict[str, Any]
    """What metrics.json holds; {} while training goes on."""
    encode: TableEncoder
    """Turns a table's columns into the model's inputs."""

    def predict(self, table: Table, batch_size: int = 8192) -> np.ndarray:
        """The click probabilities `[n]` of a table's rows, see `TableEncoder`."""
        return self.model.predict(self.encode(table), batch_size=batch_size, verbose=0)


def load_run(workdir: str | Path) -> TrainedRun:
    """Loads what `python -m ada_ensemble_tf.train --workdir=WORKDIR` left.

    Raises:
        UserError: if nothing was trained there, or a file is damaged; the message names it.
    """
    run = Workdir(workdir)
    model, results = run.load_with_results()
    schema = run.schema()
    return TrainedRun(model, schema, run.config(), results, TableEncoder(schema, run.path))
