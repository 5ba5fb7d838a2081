"""Prepared data and models in the formats that FuxiCTR reads, with the same rows and weights."""

from pathlib import Path

import keras
import numpy as np
import polars as pl
import tensorflow as tf

from ada_ensemble_tf.models import DCNV2, DNN
from data_pipelines.fields.schema import Schema
from data_pipelines.json_files import json_bytes
from data_pipelines.output import write_complete
from data_pipelines.read.dataset import PreparedData

READ_ROWS = 65_536


def write_rows(data: PreparedData, directory: Path) -> None:
    """Writes the training split as train.npz and train.parquet, and feature_map.json next to them.

    Each field is an int32 column with its own vocabulary: level i of field f is row offset_f + i of the fused table.
    The label is also int32; otherwise FuxiCTR would make all columns floats.
    """
    batches = list(data.evaluation("train", READ_ROWS).as_numpy_iterator())
    ids, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    columns = {field.name: ids[:, i] - field.offset for i, field in enumerate(data.schema.fields)}
    columns["label"] = labels.astype(np.int32)
    # To mypy, a column could be called "allow_pickle".
    np.savez(directory / "train.npz", **columns)  # type: ignore[arg-type]
    pl.DataFrame(columns).write_parquet(directory / "train.parquet")
    write_complete(directory / "feature_map.json", json_bytes(feature_map(data.schema)).decode())


def feature_map(schema: Schema) -> dict:
    """FuxiCTR's description of the fields, each with a vocabulary as large as the field's part of the fused table."""
    fields = [{f.name: {"type": "categorical", "source": "", "vocab_size": f.size}} for f in schema.fields]
    return {
        "dataset_id": schema.dataset,
        "num_fields": schema.num_fields,
        "total_features": schema.num_rows,
        "input_length": schema.num_fields,
        "labels": ["label"],
        "features": fields,
    }


def write_weights(model: DCNV2 | DNN, schema: Schema, file: Path) -> None:
    """Writes a model's trainable variables under the names of `fuxictr_model.Network` (.npz)."""
    table = model.embedding.table.numpy()
    embeddings = "embedding_layer.embedding_layer.embedding_layers"
    state = {f"{embeddings}.{f.name}.weight": table[f.offset : f.offset + f.size] for f in schema.fields}
    # FuxiCTR's block is one sequence: a dense layer, its normalisation and its activation take three places.
    for i, (dense, norm) in enumerate(zip(model.mlp.dense_layers, model.mlp.norms, strict=True)):
        state |= _dense(f"dnn.mlp.{3 * i}", dense) | _norm(f"dnn.mlp.{3 * i + 1}", norm)
    if isinstance(model, DCNV2):
        state |= _norm("normalize", model.normalize)
        for i, cross in enumerate(model.crosses):
            state |= _dense(f"crosses.cross_layers.{i}", cross.dense)
    state |= {"fc.weight": model.estimator.kernel.numpy()[None, :], "fc.bias": model.estimator.bias.numpy()[None]}
    np.savez(file, **state)


def training_loss(model: DCNV2 | DNN, data: PreparedData, rows: int) -> float:
    """LogLoss of the first rows of the training split, in training mode."""
    inputs, labels = next(iter(data.evaluation("train", rows)))
    terms = model.objective(model.forward(inputs, training=True), labels)
    return float(tf.add_n(list(terms.values())))


def _dense(name: str, layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    return {f"{name}.weight": layer.kernel.numpy().T, f"{name}.bias": layer.bias.numpy()}


def _norm(name: str, layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    return {f"{name}.weight": layer.gamma.numpy(), f"{name}.bias": layer.beta.numpy()}
