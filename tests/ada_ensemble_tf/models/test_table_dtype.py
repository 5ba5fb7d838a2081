"""Models whose embedding tables are stored in 16 bits."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_checks import FIELDS, INPUTS, LABELS

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.models import DeepFM
from ada_ensemble_tf.optimizers import GroupFtrl, make_optimizer
from ada_ensemble_tf.training.monitoring.embedding_norms import EmbeddingNorms
from ada_ensemble_tf.training.setup import compile_model
from data_pipelines.errors import UserError


def model_of(table_dtype: str) -> DeepFM:
    keras.utils.set_random_seed(0)
    return DeepFM(**FIELDS, dimension=4, hidden_units=(6,), embedding_scale=0.5, table_dtype=table_dtype)


def gradients_of_tables(model: DeepFM) -> list[tf.Tensor]:
    """`[V, D]` of each table, the parts of a row summed."""
    with tf.GradientTape() as tape:
        loss = model.objective(model.forward(INPUTS, training=True), LABELS)["log_loss"]
    gradients = tape.gradient(loss, [v.value for v in model.embedding_variables])
    return [tf.math.unsorted_segment_sum(g.values, g.indices, 9) for g in gradients]


@pytest.mark.parametrize("table_dtype", ["bfloat16", "float16"])
def test_a_model_trains_and_comes_back(table_dtype, tmp_path):
    model, exact = model_of(table_dtype), model_of("float32")
    tables = model.embedding_variables
    assert {table.dtype for table in tables} == {table_dtype} and len(tables) == 2
    for table, other in zip(tables, exact.embedding_variables, strict=True):
        # The start of a float32 table, rounded.
        np.testing.assert_array_equal(table.numpy(), tf.cast(other.value, table_dtype).numpy())
        other.assign(tf.cast(table.value, tf.float32))
    # Rows are read as they are, and their gradients are not rounded.
    for gradient, other in zip(*map(gradients_of_tables, (model, exact)), strict=True):
        assert gradient.dtype == tf.float32
        np.testing.assert_allclose(gradient, other, rtol=1e-6)
    model.compile(make_optimizer("group_ftrl", learning_rate=0.1, l1=0.0, keep_initial=True, slot_dtype="bfloat16"))
    before = tables[0].numpy()
    step = tf.function(model.training_logs, autograph=False)
    losses = [float(step((INPUTS, LABELS))["log_loss"]) for _ in range(20)]
    assert losses[-1] < losses[0] - 0.1
    assert {slot.dtype for table in tables for slot in model.embedding_optimizer.slots(table)} == {"bfloat16"}
    changed = np.any(tables[0].numpy() != before, axis=1)
    read = np.isin(np.arange(9), INPUTS["ids"].numpy())
    assert not changed[~read].any() and changed[read].all()
    assert np.isfinite(list(EmbeddingNorms(model)().values())).all()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for table, other in zip(tables, again.embedding_variables, strict=True):
        assert other.dtype == table_dtype
        np.testing.assert_array_equal(other.numpy(), table.numpy())
    np.testing.assert_array_equal(again(INPUTS), model(INPUTS))
    assert again.embedding_optimizer.slot_dtype == "bfloat16"
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(INPUTS), model(INPUTS), rtol=1e-6)


@pytest.mark.parametrize(
    "keys, message",
    [
        (
            {"embedding_optimizer": {"name": "adam", "learning_rate": 0.1}},
            "'adam' would round updates of bfloat16 tables",
        ),
        ({"xi": 0.1}, "xi must be 0 with bfloat16 tables"),
        ({"average_last": 3}, "config.average_last=3: a mean of weights needs float32 tables"),
    ],
)
def test_refuses_what_16_bit_tables_cannot_do(keys, message):
    config = config_for("deepfm")
    config.model.table_dtype = "bfloat16"
    for key, value in keys.items():
        config[key] = {} if isinstance(value, dict) else value
        for name, one in value.items() if isinstance(value, dict) else ():
            config[key][name] = one
    with pytest.raises(UserError, match=message):
        compile_model(model_of("bfloat16"), config)
    with pytest.raises(ValueError, match="table_dtype must be 'float32', 'bfloat16' or 'float16'; received 'int8'"):
        model_of("int8")


def test_slots_of_float32_tables_can_be_halved_too():
    model = model_of("float32")
    model.compile(GroupFtrl(slot_dtype="bfloat16"))
    assert {slot.dtype for slot in model.embedding_optimizer.slots(model.embedding_variables[0])} == {"bfloat16"}
