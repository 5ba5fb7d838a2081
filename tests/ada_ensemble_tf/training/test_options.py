"""Schedules, clipping, a limit of steps, the average of the last checkpoints and calibration, through the loop."""

import logging
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from prepared_rows import write_rows
from tensorflow.python.framework.config import disable_op_determinism

from ada_ensemble_tf.comparison.configs import make_config
from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.calibrating import logits_of
from ada_ensemble_tf.evaluation.scoring import Scorer
from ada_ensemble_tf.optimizers.registry import OPTIMIZERS as REGISTERED
from ada_ensemble_tf.trained.run_files import calibration_line
from ada_ensemble_tf.trained.workdir import Workdir
from ada_ensemble_tf.training.hooks import Hook
from ada_ensemble_tf.training.loop import TrainingLoop
from ada_ensemble_tf.training.run import train
from ada_ensemble_tf.training.setup import (
    build_model,
    check_gate_updates,
    compile_model,
    make_optimizers,
    seed_everything,
)
from ada_ensemble_tf.updates.grouped import OPTIMIZERS
from data_pipelines.errors import UserError
from data_pipelines.read.dataset import open_data

COSINE = {"name": "cosine", "warmup_steps": 3, "decay_steps": 8, "final": 0.1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rows = {"train": 600, "validation": 120, "test": 100}
    return write_rows(tmp_path_factory.mktemp("options"), rows, files=2, with_values=False)[0]


@pytest.fixture(autouse=True)
def deterministic_ops():
    yield
    disable_op_determinism()


def small_config(model="logistic_regression"):
    config = config_for(model)
    config.update({"batch_size": 32, "eval_batch_size": 64, "eval_every": 2, "patience": 100, "deterministic": True})
    config.update({"max_steps": 10, "average_last": 3})
    for part in ("embedding_optimizer", "weight_optimizer"):
        config[part].schedule.update(COSINE)
        config[part].global_clipnorm = 0.05
    return config


class Watch(Hook):
    """Remembers all state at each stop, by step."""

    def __init__(self, copied=None, at=None):
        self.seen, self._copied, self._at = {}, copied, at

    def begin(self, loop):
        self._model = loop.model

    def at_stop(self, stop):
        variables = (*self._model.variables, *self._model.optimizer_variables)
        self.seen[stop.step] = [v.numpy().copy() for v in variables]
        if stop.step == self._at:
            shutil.copytree(self._copied, self._copied.with_name("killed"))


def run(config, data, workdir, copy_at=None):
    """(loop after its run, state as it is evaluated by step, state as training goes on with it by step).

    `copy_at` is the step at which a copy of the directory is made, as it would be if the run were killed then.
    """
    keras.utils.clear_session()
    seed_everything(3, deterministic=True)
    model = build_model(config, data)
    compile_model(model, config)
    evaluated, own = Watch(), Watch(workdir, copy_at)
    loop = TrainingLoop(model, data, config, workdir, hooks=[evaluated])
    own.begin(loop)
    loop.hooks = (*loop.hooks, own)
    loop.run()
    return loop, evaluated.seen, own.seen


def test_the_mean_of_the_last_weights_is_kept_and_a_resumed_run_ends_bit_equal(data, tmp_path):
    whole, evaluated, own = run(small_config(), data, tmp_path / "whole", copy_at=6)
    assert list(own) == [2, 4, 6, 8, 10]
    table = [v.path for v in whole.model.variables].index(whole.model.embedding_variables[0].path)
    for step in own:
        last = [own[one][table] for one in own if one <= step][-3:]
        np.testing.assert_allclose(evaluated[step][table], np.mean(last, axis=0), atol=1e-7)
    assert np.abs(evaluated[10][table] - own[10][table]).max() > 1e-4
    best = int(whole.evaluation.best_step.numpy())
    for kept, scored in zip(whole.model.variables, evaluated[best], strict=False):
        np.testing.assert_array_equal(kept, scored)
    resumed, _, after = run(small_config(), data, tmp_path / "killed")
    assert list(after) == [8, 10]
    for one, other in zip(own[10], after[10], strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(whole.model.variables, resumed.model.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_moving_average_of_the_weights_is_kept_and_a_resumed_run_ends_bit_equal(data, tmp_path):
    def config():
        config = small_config("dnn")
        config.update({"average_last": 1, "ema_momentum": 0.7, "eval_every": 1, "max_steps": 6})
        config.model.update({"hidden_units": (4,), "dimension": 2})
        return config

    whole, evaluated, own = run(config(), data, tmp_path / "whole", copy_at=3)
    trained = {id(v) for v in whole.model.trainable_variables}
    for place, variable in enumerate(whole.model.variables):
        # Keras' average of a dense weight starts at its value after the first update, that of a table before it.
        values = [own[step][place] for step in sorted(own)]
        if id(variable) not in trained:
            np.testing.assert_array_equal(evaluated[6][place], values[-1])
        elif variable is not whole.model.embedding_variables[0]:
            average = values[0]
            for value in values[1:]:
                average = 0.7 * average + 0.3 * value
            np.testing.assert_allclose(evaluated[6][place], average, rtol=1e-4, atol=1e-6)
    table = [v.path for v in whole.model.variables].index(whole.model.embedding_variables[0].path)
    moved = np.abs(evaluated[6][table] - own[6][table]).max()
    for step in (4, 5, 6):
        expected = 0.7 * evaluated[step - 1][table] + 0.3 * own[step][table]
        np.testing.assert_allclose(evaluated[step][table], expected, rtol=1e-4, atol=1e-6)
    assert moved > 1e-4
    best = int(whole.evaluation.best_step.numpy())
    for kept, scored in zip(whole.model.variables, evaluated[best], strict=False):
        np.testing.assert_array_equal(kept, scored)
    _, _, after = run(config(), data, tmp_path / "killed")
    assert list(after) == [4, 5, 6]
    for one, other in zip(own[6], after[6], strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_averages_of_weights_and_gates_look_back_equally_far(data):
    config = small_config("ada_ensemble")
    config.update({"average_last": 1, "ema_momentum": 0.9, "weight_steps": 4, "training": "bilevel"})
    config.model.update({"experts": ("cross",), "k": 1, "num_layers": 1, "dimension": 2})
    model = build_model(config, data)
    compile_model(model, config)
    momenta = {part: getattr(model, part).get_config()["ema_momentum"] for part in OPTIMIZERS}
    assert momenta == {"embedding_optimizer": 0.9, "weight_optimizer": 0.9, "gate_optimizer": 0.9**4}
    config.average_last = 2
    with pytest.raises(UserError, match="config.average_last=2 and config.ema_momentum=0.9: both average weights"):
        compile_model(model, config)


def test_gates_learn_for_the_averages_where_these_are_kept_on_one_device(data):
    config = small_config("ada_ensemble")
    config.update({"average_last": 1, "ema_momentum": 0.9, "training": "bilevel", "gate_weights": "averaged"})
    config.model.update({"experts": ("cross",), "k": 1, "num_layers": 1, "dimension": 2})
    model = build_model(config, data)
    check_gate_updates(config, replicas=1)
    compile_model(model, config)
    assert model.gate_weights == "averaged"
    with pytest.raises(UserError, match="config.gate_weights='averaged' needs one device: set config.gate_weights to"):
        check_gate_updates(config, replicas=2)
    config.training = "joint"
    with pytest.raises(UserError, match="averaged' is for gate updates, which config.training='joint' does not make"):
        check_gate_updates(config, replicas=1)
    config.update({"training": "bilevel", "ema_momentum": 0.0})
    with pytest.raises(UserError, match="config: gate_weights='averaged' needs averages, which group_ftrl does not"):
        compile_model(model, config)
    config.xi = 0.1
    with pytest.raises(UserError, match="config.xi=0.1: the second-order gate update needs one device"):
        check_gate_updates(config, replicas=2)


def test_gates_follow_the_schedule_of_the_weights(data):
    config = small_config("ada_ensemble")
    config.model.update({"experts": ("cross",), "k": 1, "num_layers": 1, "dimension": 2})
    config.gate_optimizer.schedule.update(COSINE)
    config.weight_steps = 4
    model = build_model(config, data)
    compile_model(model, config)
    gate, weight = (getattr(model, f"{part}_optimizer").get_config()["learning_rate"] for part in ("gate", "weight"))
    steps = [schedule["config"][key] for schedule in (gate, weight) for key in ("warmup_steps", "decay_steps")]
    assert steps == [1, 2, 3, 8]


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        ("logistic_regression", {"name": "cosine"}, "embedding_optimizer: schedule.decay_steps must be at least 1"),
        ("logistic_regression", {"name": "step"}, "embedding_optimizer: schedule.name must be one of constant, cosine"),
        ("hilomoe", {"warmup_steps": 3}, "embedding_optimizer.schedule: hilomoe trains in stages, which set this"),
    ],
)
def test_a_schedule_that_does_not_fit_is_one_line_with_its_key(data, model, values, message):
    config = config_for(model)
    config.embedding_optimizer.schedule.update(values)
    with pytest.raises(UserError, match=f"config.{message}") as caught:
        compile_model(build_model(config, data), config)
    assert "\n" not in str(caught.value)


def test_a_trained_directory_is_calibrated_without_training_and_scores_as_measured(prepared_criteo, tmp_path):
    config, data = small_config(), open_data(prepared_criteo)
    config.update({"average_last": 1, "max_steps": 4})
    plain = train(config, data, tmp_path)
    saves = sorted((tmp_path / "checkpoints").rglob("*.index"))
    assert "calibrated" not in plain and calibration_line(plain) == "none"
    (rows, labels), *_ = data.evaluation("test", data.rows["test"])
    before = Scorer(Workdir(tmp_path).load_model())(rows)
    config.calibration = "temperature"
    results = train(config, data, tmp_path)
    model = Workdir(tmp_path).load_model()
    assert str(model.calibration) == results["calibrated"]["kind"] and results["best_step"] == plain["best_step"]
    scores = Scorer(model)(rows)
    np.testing.assert_allclose(scores, tf.sigmoid(model.calibration(logits_of(before))), atol=1e-6)
    np.testing.assert_allclose(metrics.logloss(labels.numpy(), scores), results["test"]["logloss"], rtol=1e-6)
    error = results["calibrated"]["expected_calibration_error"]
    for split in ("validation", "test"):
        assert error[split]["before"] == plain[split]["expected_calibration_error"]
        assert error[split]["after"] == results[split]["expected_calibration_error"]
    assert sorted((tmp_path / "checkpoints").rglob("*.index")) == saves
    config.calibration = "none"
    assert train(config, data, tmp_path)["test"] == plain["test"]
    assert Workdir(tmp_path).load_model().calibration is None and not (tmp_path / "calibration.json").exists()


@pytest.mark.parametrize("name", REGISTERED)
def test_the_name_of_an_optimizer_can_be_set_alone(name, caplog):
    caplog.set_level(logging.INFO, "ada_ensemble_tf")
    config = make_config("sample", "dcn_v2", {"embedding_optimizer.name": name})
    assert type(make_optimizers(config)["embedding_optimizer"]) is REGISTERED[name]
    told = [] if "ftrl" in name else [f"config.embedding_optimizer: {name} has no beta, l1, l2, keep_initial: left out"]
    assert caplog.messages == told
