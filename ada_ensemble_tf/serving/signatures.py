"""The exported model: raw columns in, click probability out."""

import keyword
import logging
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.serving.encoder import RawEncoder
from data_pipelines.errors import DataError, is_disk_full
from data_pipelines.schema import Schema

logger = logging.getLogger(__name__)


class ServedModel(tf.Module):
    """What a SavedModel holds: encoder, model weights and the signature `serving_default`.

    The signature takes one string tensor `[B]` a raw column, by the log's column name, holding the log's own text
    (empty for missing), and returns `ctr`, float32 `[B]`. Where TensorFlow does not take a column's name, the input has
    another, see `argument_names`.

    Args:
        model: the trained model; its annealing is finished first, so that K and depth have their final values.
        schema: the fields.
        data_dir: the directory with the vocabulary files.

    Attributes:
        arguments: the signature's name of each raw column.
    """

    def __init__(self, model: CTRModel, schema: Schema, data_dir: str | Path):
        super().__init__()
        model.finish_annealing()
        self.encoder = RawEncoder(schema, data_dir)
        self.arguments = argument_names(schema.columns)
        # The variables alone: the Keras object would bring graphs of its own.
        self.weights = [v.value for v in model.variables]

        def serve(**text: tf.Tensor) -> dict[str, tf.Tensor]:
            columns = {column: text[name] for column, name in self.arguments.items()}
            forward = model.forward(self.encoder(columns), training=False)
            return {"ctr": tf.sigmoid(forward.logit)}

        specs = {name: tf.TensorSpec([None], tf.string, name=name) for name in self.arguments.values()}
        self.serve = tf.function(serve, autograph=False)
        self.signature = self.serve.get_concrete_function(**specs)


def argument_names(columns: Sequence[str]) -> dict[str, str]:
    """The signature's name of each raw column.

    A column keeps its name if that has ASCII letters, digits and underscores alone, begins with a letter, and is no
    Python keyword ("class"), not "self", and not another one's but for upper and lower case. Else other characters
    become underscores ("site id" is site_id), and where that is still no such name, the column is called by its
    position, from 1, among the columns that are read ("1st", as the third of them, is column_3).
    """
    names: dict[str, str] = {}
    taken: set[str] = set()

    def claim(column: str, name: str) -> None:
        usable = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and not keyword.iskeyword(name) and name != "self"
        # TensorFlow's graphs do not tell upper from lower case.
        if column not in names and usable and name.lower() not in taken:
            names[column] = name
            taken.add(name.lower())

    for column in columns:
        claim(column, column)
    for column in columns:
        claim(column, re.sub(r"[^A-Za-z0-9_]", "_", column))
    for position, column in enumerate(columns, start=1):
        # Underscores only where another column is called column_3.
        for underscores in range(len(columns) + 1):
            claim(column, f"column_{position}" + "_" * underscores)
    return {column: names[column] for column in columns}


def export(model: CTRModel, schema: Schema, data_dir: str | Path, export_dir: str | Path) -> Path:
    """Writes a SavedModel into the next numbered folder of `export_dir`, as TF Serving looks for them.

    Returns:
        The version's folder. It appears under its name once it is complete.

    Raises:
        DataError: if the disk is full.
    """
    export_dir = Path(export_dir)
    export_dir.mkdir(parents=True, exist_ok=True)
    versions = [int(path.name) for path in export_dir.iterdir() if path.name.isdigit()]
    final = export_dir / str(max(versions, default=0) + 1)
    # Not a number: TF Serving passes it over.
    staging = export_dir / f"{final.name}.incomplete"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        served = ServedModel(model, schema, data_dir)
        tf.saved_model.save(served, str(staging), signatures={"serving_default": served.signature})
        os.rename(staging, final)
        for column, name in served.arguments.items():
            if column != name:
                logger.info("column %r is the signature's input %s", column, name)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        if is_disk_full(error):
            raise DataError(
                f"{export_dir}: the disk is full; free some space or choose another --export_dir"
            ) from error
        raise
    return final
