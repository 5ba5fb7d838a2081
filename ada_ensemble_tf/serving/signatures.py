"""The exported model: raw columns in, click probability out."""

import os
import shutil
from pathlib import Path

import tensorflow as tf

from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.serving.encoder import RawEncoder
from data_pipelines.errors import DataError, is_disk_full
from data_pipelines.schema import Schema


class ServedModel(tf.Module):
    """What a SavedModel holds: encoder, model weights and the signature `serving_default`.

    The signature takes one string tensor `[B]` a raw column, by the log's column name, holding the log's own text
    (empty for missing), and returns `ctr`, float32 `[B]`.

    Args:
        model: the trained model; its annealing is finished first, so that K and depth have their final values.
        schema: the fields.
        data_dir: the directory with the vocabulary files.
    """

    def __init__(self, model: CTRModel, schema: Schema, data_dir: str | Path):
        super().__init__()
        model.finish_annealing()
        self.encoder = RawEncoder(schema, data_dir)
        # The variables alone: the Keras object would bring graphs of its own.
        self.weights = [v.value for v in model.variables]

        def serve(**columns: tf.Tensor) -> dict[str, tf.Tensor]:
            forward = model.forward(self.encoder(columns), training=False)
            return {"ctr": tf.sigmoid(forward.logit)}

        specs = {field.name: tf.TensorSpec([None], tf.string, name=field.name) for field in schema.fields}
        self.serve = tf.function(serve, autograph=False)
        self.signature = self.serve.get_concrete_function(**specs)


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
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        if is_disk_full(error):
            raise DataError(
                f"{export_dir}: the disk is full; free some space or choose another --export_dir"
            ) from error
        raise
    return final
