import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.models import LogisticRegression
from ada_ensemble_tf.optimizers import GroupFtrl

# Fields: one column of rows 0 to 2, three columns of rows 3 to 5, and a value whose row is 7.
INPUTS = {
    "ids": tf.constant([[1, 4, -1, -1, 7], [2, 3, 5, -1, 8], [0, 3, 4, 5, 6]]),
    "values": tf.constant([[2.5], [0.0], [0.0]]),
}
WEIGHTS = [0.0, 1.0, 2.0, 30.0, 40.0, 50.0, 600.0, 700.0, 800.0]


def weighted_model() -> LogisticRegression:
    model = LogisticRegression(num_rows=9, num_fields=3, widths=(1, 3, 1), value_rows=[(2, 7)], initial_logit=-1.0)
    model.level_weights.table.assign(np.array(WEIGHTS)[:, None])
    return model


def test_logit_by_hand():
    logit = weighted_model().forward(INPUTS).logit
    expected = [1 + 40 + 2.5 * 700 - 1, 2 + (30 + 50) / 2 + 800 - 1, 0 + (30 + 40 + 50) / 3 + 600 - 1]
    np.testing.assert_allclose(logit, expected, rtol=1e-6)
    plain = LogisticRegression(num_rows=9, num_fields=2)
    plain.level_weights.table.assign(np.array(WEIGHTS)[:, None])
    assert plain.forward(tf.constant([[1, 3], [2, 8]])).logit.numpy().tolist() == [31, 802]


def test_flops_are_the_weights_read():
    assert float(weighted_model().forward(INPUTS).flops) == 3 + 4 + 5
    ids = tf.zeros([7, 2], tf.int32)
    assert float(LogisticRegression(num_rows=9, num_fields=2).forward(ids).flops) == 14
    assert float(LogisticRegression(num_rows=9, num_fields=2, widths=(1, 1)).forward(ids).flops) == 14


def test_ftrl_touches_no_row_that_was_not_read():
    model = weighted_model()
    model.compile(GroupFtrl(0.1, l1=0.0), keras.optimizers.SGD(0.1))
    ids, values = INPUTS["ids"][:2], INPUTS["values"][:2]
    model.train_step(({"ids": ids, "values": values}, tf.constant([0.0, 1.0])))
    changed = model.level_weights.table.numpy()[:, 0] != np.array(WEIGHTS, np.float32)
    # From z = 0 an update throws the old weight away, so every row that was read changes.
    assert np.flatnonzero(changed).tolist() == [1, 2, 3, 4, 5, 7, 8]


def test_keras_and_json_round_trips(tmp_path):
    model = weighted_model()
    model.compile(GroupFtrl(0.1), keras.optimizers.SGD(0.1))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again(INPUTS), model(INPUTS))
    config = json.loads(json.dumps(model.get_config()))
    assert config["widths"] == [1, 3, 1] and config["value_rows"] == [[2, 7]]
    assert LogisticRegression.from_config(config).input_signature == model.input_signature
    plain = LogisticRegression.from_config(LogisticRegression(num_rows=9, num_fields=2).get_config())
    assert plain.input_signature == tf.TensorSpec([None, 2], tf.int32)


def test_widths_of_other_fields_are_refused():
    with pytest.raises(ValueError, match=r"widths must be those of num_fields=3 fields; received \[1, 2\]"):
        LogisticRegression(num_rows=9, num_fields=3, widths=(1, 2))
