"""AdaEnsemble with its default layers, narrow ones: everything in them learns and is saved."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_ada_ensemble import FIELDS, compile_model, some_ids, some_labels

from ada_ensemble_tf.models import AdaEnsemble
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.schema import Field, Schema

SCHEMA = Schema(RawFormat("madeup", "label"), tuple(Field(f"f{i}", "text", 6, 6 * i) for i in range(FIELDS)))


def narrow_model(**arguments) -> AdaEnsemble:
    """Default layers with D = 4, always with the same weights."""
    keras.utils.set_random_seed(3)
    model = AdaEnsemble.from_schema(SCHEMA, dimension=4, head_units=(8,), gate={"reduction": 1}, **arguments)
    model.embedding.table.assign(tf.random.stateless_normal([model.num_rows, 4], [7, 7]))
    return model


def test_layers_are_those_that_the_docstring_names():
    model = AdaEnsemble.from_schema(SCHEMA, dimension=4)
    experts = ["gated_dense", "dense", "cross", "polynomial"]
    assert model.choice_names() == {"layer_1": experts, "layer_2": experts, "depth": ["exit_1", "exit_2"]}
    assert [layer.shared.name for layer in model.moe_layers] == ["shared_cross"] * 2
    # Of an estimator: the linear part, the hidden layer and its bias, the weights of its output, the bias.
    assert sum(int(np.prod(v.shape)) for v in model.estimators[0].variables) == 40 + 40 * 128 + 128 + 128 + 1
    assert {v.path.split("/")[0] for v in model.non_trainable_variables if "moving" in v.path} == {"normalize"}
    gates = model.gates(some_ids())
    for place in ("layer_1", "layer_2"):
        assert (np.count_nonzero(gates[place], axis=1) == 2).all()
    assert (model.depth_objective, model.deep_supervision) == ("compared", 0.1)
    assert model.load_factor is None and AdaEnsemble.epochs["load_anneal_steps"] == 1.0


@pytest.mark.parametrize("training", ["bilevel", "joint"])
def test_every_variable_learns(training):
    model, rows = narrow_model(), (some_ids(), some_labels())
    compile_model(model)
    before = [v.numpy() for v in model.trainable_variables]
    stacked = tf.nest.map_structure(lambda x: x[None], rows)
    logs = model.training_logs({"train": stacked, "gate": rows} if training == "bilevel" else rows)
    assert int(logs["first_bad"]) == -1
    for value, variable in zip(before, model.trainable_variables, strict=True):
        assert np.abs(variable - value).max() > 0.0, variable.path


def test_saved_and_loaded(tmp_path):
    model = narrow_model(anneal_steps=4, load_anneal_steps=4)
    model.step.assign(3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config() and int(again.step) == 3
    np.testing.assert_array_equal(again(some_ids()), model(some_ids()))
    config = json.loads(json.dumps(model.get_config()))
    # What is saved says all of it, so that other defaults would not change a saved model.
    assert {"experts", "k", "num_layers", "shared_expert", "head_units", "deep_supervision"} <= config.keys()
    rebuilt = AdaEnsemble.from_config(config)
    rebuilt.set_weights(model.get_weights())
    np.testing.assert_array_equal(rebuilt(some_ids()), model(some_ids()))
