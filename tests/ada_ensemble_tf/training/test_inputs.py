"""Training, scoring and reports on ids of several columns together with floats."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from prepared_rows import write_rows
from published_layers import PUBLISHED_LAYERS

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.evaluation.scoring import Scorer
from ada_ensemble_tf.models import AdaEnsemble, LogisticRegression
from ada_ensemble_tf.optimizers import GroupFtrl
from ada_ensemble_tf.training.loop import TrainingLoop
from ada_ensemble_tf.training.monitoring.callbacks import GateReports
from ada_ensemble_tf.training.setup import build_model, compile_model, model_inputs
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.schema import Field, Schema
from data_pipelines.read.dataset import pair

SMALL = {"experts": ("dense", "cross"), "k": 1, "num_layers": 2, "dimension": 2, "gate": {"reduction": 2}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("inputs"), {"train": 600, "validation": 120, "test": 100}, files=2)[0]


def compiled_model(data, xi=0.0, **arguments) -> AdaEnsemble:
    keras.utils.set_random_seed(5)
    # Of the paper's layers, whose graph is smaller; `test_the_training_loop` has the default ones.
    model = AdaEnsemble(**model_inputs(data.schema), **PUBLISHED_LAYERS | SMALL | arguments)
    model.embedding.table.assign(tf.random.stateless_normal(model.embedding.table.shape, [7, 7]))
    model.compile(GroupFtrl(0.1, l1=0.0), keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01), xi)
    return model


def test_a_schema_gives_the_sizes_of_a_model():
    fields = (Field("a", "text", 5, 0), Field("b", "value", 3, 5), Field("c", "text", 2, 8, separator="|", width=4))
    schema = Schema(RawFormat("x", "label"), (*fields, Field("d", "log_value", 2, 10)))
    expected = {"num_rows": 12, "num_fields": 4, "widths": (1, 1, 4, 1), "value_rows": [(1, 6), (3, 11)]}
    assert model_inputs(schema) == expected | {"frozen_rows": (0, 0)}
    signature = LogisticRegression(**expected).input_signature
    assert signature == {"ids": tf.TensorSpec([None, 7], tf.int32), "values": tf.TensorSpec([None, 2])}


def test_bilevel_training_with_fit(data, tmp_path):
    # With a second-order gate gradient; `test_the_training_loop` has the first-order one.
    model = compiled_model(data, xi=0.1)
    batches = pair(data.train(32, gate_share=0.2), data.gate(32, share=0.2), weight_steps=2)
    validation = data.evaluation("validation", 50)
    some, _ = next(iter(validation))
    reports = GateReports(str(tmp_path / "fit"), some)
    before = model.evaluate(validation, return_dict=True, verbose=0)["log_loss"]
    model.fit(batches, steps_per_epoch=10, epochs=2, validation_data=validation, callbacks=[reports], verbose=0)
    assert int(model.step) == 40 and int(model.gate_optimizer.iterations) == 20
    after = model.evaluate(validation, return_dict=True, verbose=0)["log_loss"]
    assert np.isfinite(after) and after != before
    ctr = model.predict(data.evaluation("test", 64), verbose=0)
    assert ctr.shape == (100,)
    (file,) = (tmp_path / "fit").iterdir()
    tags = {value.tag for event in tf.compat.v1.train.summary_iterator(str(file)) for value in event.summary.value}
    assert {"layer_1/load/cross", "speed/flops_per_example"} <= tags


@pytest.mark.parametrize("xi", [0.0, 0.1])
def test_the_gate_update_leaves_the_table_bit_equal(data, xi):
    """Padding included: there is no row -1 to save and put back."""
    model = compiled_model(data, xi)
    before = model.embedding.table.numpy().copy()
    batches = iter(data.train(16))
    model._gate_step(next(batches), next(batches))
    np.testing.assert_array_equal(model.embedding.table, before)
    assert int(model.gate_optimizer.iterations) == 1


def test_joint_training_with_fit(data):
    model = compiled_model(data)
    model.fit(data.train(32), steps_per_epoch=5, verbose=0)
    assert [int(o.iterations) for o in (model.embedding_optimizer, model.weight_optimizer, model.gate_optimizer)] == [
        5, 5, 5,
    ]  # fmt: skip


def test_scores_of_tensors_arrays_and_no_rows(data):
    model = compiled_model(data)
    scorer = Scorer(model)
    inputs, _ = next(iter(data.evaluation("test", 100)))
    expected = model(inputs).numpy()
    np.testing.assert_allclose(scorer(inputs), expected, atol=1e-6)
    arrays = {"ids": inputs["ids"].numpy().astype(np.int64), "values": inputs["values"].numpy().astype(np.float64)}
    np.testing.assert_allclose(scorer(arrays), expected, atol=1e-6)
    assert scorer({name: array[:0] for name, array in arrays.items()}).shape == (0,)
    labels, probabilities, weights, flops = scorer.score(data.evaluation("test", 30))
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert labels.shape == (100,) and weights is None and flops > 0
    # Three workers; the last one sometimes has empty batches.
    parts = [scorer.score(data.evaluation("test", 33, worker=w, workers=3))[1] for w in range(3)]
    assert [len(part) for part in parts] == [33, 33, 34]


def test_values_that_are_missing_are_one_clear_error(data):
    inputs, _ = next(iter(data.evaluation("test", 10)))
    with pytest.raises(ValueError, match=r'inputs must be {"ids", "values"}: .*received int32 \(10, 6\)'):
        compiled_model(data)(inputs["ids"])


def test_the_training_loop(data, tmp_path):
    config = config_for("ada_ensemble")
    config.update({"batch_size": 32, "eval_batch_size": 50, "max_epochs": 2.0, "training": "bilevel"})
    for name, value in SMALL.items():
        config.model[name] = value
    config.model.update({"expert_prior": (0.5, 0.5), "depth_prior": (0.5, 0.5)})
    model = build_model(config, data)
    compile_model(model, config)
    loop = TrainingLoop(model, data, config, tmp_path)
    loop.run()
    evaluation = loop.evaluation
    assert int(evaluation.best_step.numpy()) >= 19 and 0.0 <= float(evaluation.best_value.numpy()) <= 1.0
