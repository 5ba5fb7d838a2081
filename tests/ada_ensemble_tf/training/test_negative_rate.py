"""Training on a share of the negatives: what is served holds for all rows."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.evaluation.scoring import Scorer
from ada_ensemble_tf.models import DNN
from ada_ensemble_tf.serving.signatures import ServedModel
from ada_ensemble_tf.training.setup import build_model
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.prepare.build import build
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options

RATE = 0.1
CLICK_RATES = np.array([0.01, 0.03, 0.1, 0.2, 0.3])
ROWS = 60_000


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rows of five levels with planted click rates, prepared with a share of the negatives, and weights of 2."""
    path = tmp_path_factory.mktemp("rate")
    rng = np.random.default_rng(0)
    level = rng.integers(0, 5, ROWS)
    label = (rng.random(ROWS) < CLICK_RATES[level]).astype(int)
    (path / "t.csv").write_text("\n".join(["y,a,w", *(f"{y},l{a},2" for y, a in zip(label, level, strict=True))]))
    fields = [{"name": "a", "kind": "categorical"}]
    found = parse_schema({"label": "y", "weight": "w", "fields": fields}, "s.json")
    build(Options(*found, negative_rate=RATE), [path / "t.csv"], path / "d", show=lambda line: None)
    return open_data(path / "d")


def test_predictions_are_calibrated_on_all_rows_everywhere(data):
    config = config_for("logistic_regression")
    model = build_model(config, data)
    model.compile(keras.optimizers.Adam(0.02), keras.optimizers.Adam(0.02))
    assert model.logit_shift == pytest.approx(math.log(RATE))
    rates = data.positives["train"] / data.rows["train"]
    assert rates > 4 * data.positives["test"] / data.rows["test"]
    model.fit(data.train(500), steps_per_epoch=300, verbose=0)
    scored = Scorer(model).score(data.evaluation("test", 4096))
    assert scored.weights is not None and set(scored.weights) == {2.0}
    ids, served = np.arange(1, 6, dtype=np.int32)[:, None], ServedModel(model, data.schema, data.path)
    exported = served.functions["ids"](ids=tf.constant(ids))["ctr"].numpy()
    np.testing.assert_allclose(exported, Scorer(model)(ids), atol=1e-6)
    np.testing.assert_allclose(exported, model.predict(ids, verbose=0), atol=1e-6)
    # q = p / (p + (1 - p) / R) of the probability p that training sees (He et al., 2014).
    p = tf.sigmoid(model.forward(ids).logit).numpy()
    np.testing.assert_allclose(exported, p / (p + (1 - p) / RATE), rtol=1e-5)
    levels = [int(name[1:]) for name in (data.path / data.schema.vocabulary_files["a"]).read_text().split()]
    np.testing.assert_allclose(exported, CLICK_RATES[levels], rtol=0.35)
    # Over all test rows, whose levels the planted rates are known of; without the correction it is above 3.
    level = np.concatenate([ids for ids, *_ in data.evaluation("test", 4096).as_numpy_iterator()])[:, 0] - 1
    planted = CLICK_RATES[levels][level].mean()
    assert scored.probabilities.mean() / planted == pytest.approx(1.0, abs=0.08)
    assert p[level].mean() / planted > 3
    found = model.evaluate(data.evaluation("test", 4096), return_dict=True, verbose=0)
    assert found["log_loss"] == pytest.approx(scored.metrics()["logloss"], rel=1e-4)


def test_the_shift_is_part_of_the_model_and_not_of_training():
    plain = DNN(num_rows=5, num_fields=2, normalization="none")
    model = DNN.from_config(plain.get_config() | {"logit_shift": math.log(0.25), "name": "shifted"})
    for one, other in zip(model.variables, plain.variables, strict=True):
        one.assign(other)
    ids, labels = tf.constant([[0, 3], [1, 4]]), tf.constant([0.0, 1.0])
    np.testing.assert_array_equal(model.forward(ids).logit, plain.forward(ids).logit)
    assert float(model.objective(model.forward(ids), labels)["log_loss"]) == pytest.approx(
        float(plain.objective(plain.forward(ids), labels)["log_loss"])
    )
    odds, served = (p / (1 - p) for p in (plain(ids).numpy(), model(ids).numpy()))
    np.testing.assert_allclose(served, 0.25 * odds, rtol=1e-5)
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model)).logit_shift == np.log(0.25)
