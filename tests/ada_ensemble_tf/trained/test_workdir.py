"""The working directory: one training at a time, and the leftovers of killed ones."""

import os
import re
import socket

import keras
import pytest
from made_up_results import made_up_results

from ada_ensemble_tf.models import MODELS
from ada_ensemble_tf.trained.checkpoint import Checkpoint, remove_unfinished_saves
from ada_ensemble_tf.trained.run_files import CONFIG_FILE
from ada_ensemble_tf.trained.workdir import Workdir
from ada_ensemble_tf.training.hooks import Hook
from ada_ensemble_tf.training.run import train
from data_pipelines import locks
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.schema import Field, Schema
from data_pipelines.json_files import save_json
from data_pipelines.read.dataset import open_data
from experiments import sample


def test_two_trainings_do_not_share_a_directory(prepared_criteo, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.1)
    config, data = sample.get_config("logistic_regression"), open_data(prepared_criteo)
    owner = f"{tmp_path}: process {os.getpid()} on {re.escape(socket.gethostname())} has been at work here since"
    with Workdir(tmp_path).locked(), pytest.raises(UserError, match=f"^{owner} .*choose another --workdir$"):
        train(config, data, tmp_path)
    assert not any(tmp_path.iterdir())
    with Workdir(tmp_path).locked():
        Workdir(tmp_path).claim(config.to_dict(), data)


def test_a_model_of_other_code_is_refused_in_one_line(tmp_path):
    fields = (Field("a", "text", 3, 0), Field("b", "text", 4, 3))
    Schema(RawFormat("tiny", "label"), fields).save(tmp_path / "schema.json")
    Checkpoint(tmp_path / "checkpoints" / "best", [keras.Variable([1.0])]).save(1)
    arguments = {"num_rows": 7, "num_fields": 2, "dimension": 2, "hidden_units": [3]}
    for name, wrong, complaint in (
        ("dnn", {"layers": 3}, "TypeError: DNN has no argument layers; it has num_rows"),
        ("dnn", {"hidden_units": 3}, "ArgumentError: hidden_units must be one or more whole numbers"),
        ("dnm", {}, "ValueError: there is no model 'dnm'"),
    ):
        save_json(tmp_path / "model.json", {"model": name, "arguments": arguments | wrong})
        with pytest.raises(UserError, match=rf"no model of this version of the code \({complaint}") as raised:
            Workdir(tmp_path).load_model()
        assert "\n" not in str(raised.value) and str(raised.value).endswith("train again in another --workdir")


def test_a_model_without_an_argument_that_came_later_has_its_default(tmp_path):
    before = MODELS["dnn"](num_rows=7, num_fields=2, dimension=2, hidden_units=(3,), dropout=0.5)
    config = before.get_config()
    del config["dropout"], config["widths"]
    assert MODELS["dnn"].from_config(config).get_config() == before.get_config() | {"dropout": 0.0}


def test_what_killed_saves_left_is_removed_and_the_last_save_kept(tmp_path):
    variable = keras.Variable([1.0], name="v")
    Checkpoint(tmp_path, [variable]).save(8)
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"SHA256SUMS", "checkpoint", "ckpt-8.index", "ckpt-8.data-00000-of-00001"}
    for name in ("ckpt-9_temp", "ckpt-8_temp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part-00000-of-00001.index").touch()
    # Written but not yet pointed to; pointed to no more but not yet deleted; neither is a save; the pointer.
    for name in ("ckpt-9.index", "ckpt-7.data-00000-of-00001", "ckpt-notes", "checkpoint.tmp0123"):
        (tmp_path / name).touch()
    remove_unfinished_saves(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept | {"ckpt-notes"}
    variable.assign([2.0])
    Checkpoint(tmp_path, [variable]).restore()
    assert variable.numpy() == [1.0]
    remove_unfinished_saves(tmp_path / "none")


def test_a_resumed_run_removes_what_a_killed_one_left(prepared_criteo, tmp_path):
    config, data, workdir = sample.get_config("logistic_regression").to_dict(), open_data(prepared_criteo), tmp_path
    Workdir(workdir).claim(config, data)
    (workdir / "metrics.json.abcd.incomplete").touch()
    for folder in ("last", "best"):
        (workdir / "checkpoints" / folder / "ckpt-4_temp").mkdir(parents=True)
    Workdir(workdir).claim(config, data)
    assert not list(workdir.rglob("*_temp")) and not list(workdir.rglob("*.incomplete"))


def test_keras_says_that_a_working_directory_is_no_model_of_its_own(prepared_criteo, tmp_path):
    Workdir(tmp_path).claim(sample.get_config("logistic_regression").to_dict(), open_data(prepared_criteo))
    with pytest.raises(ValueError, match=f"^File format not supported: filepath={tmp_path}. .* `.keras` files"):
        keras.models.load_model(tmp_path)


def test_a_directory_of_an_earlier_version_is_refused(prepared_criteo, tmp_path):
    config, data, workdir = sample.get_config("logistic_regression").to_dict(), open_data(prepared_criteo), tmp_path
    Workdir(workdir).claim(config, data)
    (workdir / CONFIG_FILE).rename(workdir / "config.json")
    message = f"^{workdir}: a training directory of another version of this code; train again in another --workdir$"
    for read in (Workdir(workdir).load_model, Workdir(workdir).config, lambda: Workdir(workdir).claim(config, data)):
        with pytest.raises(UserError, match=message):
            read()
    assert not (workdir / CONFIG_FILE).exists()


def test_results_are_given_only_with_the_model_that_they_are_of(tmp_path, monkeypatch):
    workdir, results = Workdir(tmp_path), made_up_results()
    complete, removed = lambda: save_json(workdir.metrics_file, results), workdir.remove_results
    # What training does before the model is loaded, and while it is.
    for before, meanwhile, expected in (
        (complete, lambda: None, results),
        (complete, removed, {}),
        (complete, lambda: save_json(workdir.metrics_file, made_up_results(best_step=60)), {}),
        (removed, complete, {}),
        (removed, lambda: None, {}),
    ):
        before()
        monkeypatch.setattr(workdir, "load_model", meanwhile)
        assert workdir.load_with_results()[1] == expected


def test_a_run_that_goes_on_removes_the_results_of_the_model_it_replaces(prepared_criteo, tmp_path):
    there = []

    class Look(Hook):
        def after_steps(self, steps):
            there.append((tmp_path / "metrics.json").exists())

    config, data = sample.get_config("logistic_regression"), open_data(prepared_criteo)
    config.update({"batch_size": 512, "eval_every": 2})
    for config.max_epochs in (0.5, 1.0):
        train(config, data, tmp_path, hooks=[Look()])
        assert (tmp_path / "metrics.json").exists()
    assert len(there) >= 2 and not any(there)
