"""Rows and weights as FuxiCTR gets them, read back."""

import json

import numpy as np
import polars as pl
import tensorflow as tf

from ada_ensemble_tf.models import DCNV2
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.schema import Field, Schema
from data_pipelines.read.dataset import open_data
from experiments.measuring.fuxictr_files import write_rows, write_weights


def test_rows_are_those_of_the_training_split(prepared_criteo, tmp_path):
    data = open_data(prepared_criteo)
    write_rows(data, tmp_path)
    ids, labels = next(iter(data.evaluation("train", data.rows["train"])))
    described = json.loads((tmp_path / "feature_map.json").read_text())
    sizes = {name: spec["vocab_size"] for feature in described["features"] for name, spec in feature.items()}
    offsets = np.cumsum([0, *sizes.values()])
    assert offsets[-1] == described["total_features"] == data.schema.num_rows
    with np.load(tmp_path / "train.npz") as npz:
        columns = {name: npz[name] for name in npz.files}
    assert list(columns) == [*sizes, "label"]
    for i, (name, size) in enumerate(sizes.items()):
        assert 0 <= columns[name].min() and columns[name].max() < size
        np.testing.assert_array_equal(columns[name] + offsets[i], ids[:, i])
    np.testing.assert_array_equal(columns["label"], labels)
    assert {column.dtype for column in columns.values()} == {np.dtype(np.int32)}
    assert pl.read_parquet(tmp_path / "train.parquet").equals(pl.DataFrame(columns))


def test_weights_give_the_same_logits_as_plain_products(tmp_path):
    schema = Schema(RawFormat("madeup", "label"), (Field("a", "text", 3, 0), Field("b", "text", 4, 3)))
    sizes = {"dimension": 2, "num_layers": 1, "structure": "parallel", "hidden_units": (3,)}
    model = DCNV2(
        num_rows=schema.num_rows, num_fields=2, **sizes, normalization="batch", embedding_normalization="batch"
    )
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    write_weights(model, schema, tmp_path / "weights.npz")
    with np.load(tmp_path / "weights.npz") as npz:
        w = {name: npz[name] for name in npz.files}
    assert sum(value.size for value in w.values()) == sum(v.numpy().size for v in model.trainable_variables)
    levels = np.array([[2, 0], [1, 3]])
    tables = [w[f"embedding_layer.embedding_layer.embedding_layers.{name}.weight"] for name in "ab"]

    def norm(name, x):  # moving statistics of a new model: mean 0, variance 1
        return x / np.sqrt(1.001) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x0 = norm("normalize", np.concatenate([table[levels[:, i]] for i, table in enumerate(tables)], axis=1))
    hidden = np.maximum(norm("dnn.mlp.1", dense("dnn.mlp.0", x0)), 0)
    crossed = x0 * dense("crosses.cross_layers.0", x0) + x0
    expected = dense("fc", np.concatenate([crossed, hidden], axis=1))[:, 0]
    ids = (levels + np.array([0, 3])).astype(np.int32)
    np.testing.assert_allclose(model.forward(tf.constant(ids)).logit, expected, rtol=1e-4)
