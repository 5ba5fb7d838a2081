"""Configs by name and by path."""

import importlib
import json
import re
import sys

import pytest
from absl import flags
from command_line import ROOT

from ada_ensemble_tf.comparison.configs import make_config
from ada_ensemble_tf.configs import files
from data_pipelines.errors import UserError


@pytest.mark.parametrize("name", files.names())
def test_a_name_and_the_path_in_the_checkout_are_one_config(name):
    assert files.config_file(name).is_file()
    by_path = importlib.import_module(f"experiments.{name}")
    assert by_path.get_config is importlib.import_module(f"ada_ensemble_tf.configs.datasets.{name}").get_config
    assert files.config_file(ROOT / f"experiments/{name}.py") == ROOT / f"experiments/{name}.py"


def test_neither_name_nor_file(tmp_path):
    (tmp_path / "values.txt").touch()
    for place in ("critoe", tmp_path / "none.py", tmp_path / "values.txt"):
        with pytest.raises(
            UserError, match=f"{place}: no such Python file; configs that need no file: avazu, criteo, "
        ):
            files.config_file(place)


def parsed(monkeypatch, *arguments: str):
    """The value of the flag --config on a command line."""
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    values = flags.FlagValues()
    holder = files.define_config(values)
    values(sys.argv)
    return holder.value


def test_a_file_that_tuning_wrote_is_a_config(monkeypatch, tmp_path):
    # Adam on the embeddings: other keys than those of the default.
    best, file = make_config("criteo", "dnn", {"model.hidden_units": (8, 4), "max_epochs": 2.0}), tmp_path / "best.json"
    entry = {"values": {}, "config": best.to_dict()}
    file.write_text(json.dumps({"dnn": entry}))
    for place in (file, f"{file}:dnn"):
        config = parsed(monkeypatch, f"--config={place}", "--config.seed=3")
        assert config.is_locked and config.to_dict() == best.to_dict() | {"seed": 3}
    gone = entry["config"] | {"model": entry["config"]["model"] | {"gone": 1}}
    for content, message in [
        ({"dnn": entry, "pnn": entry}, f"{file}: tuned are dnn, pnn; write {file}:MODEL"),
        ({"pnn": entry}, f"{file}: tuned are pnn; write"),
        ({"dnn": {"values": {}}}, f"{file}: dnn has no config, only the tuned values; tune again with --write"),
        ({"dnn": {"values": {}, "config": gone}}, f"{file}: dnn: there no longer is a config key 'gone'; tune again"),
        ({}, f"{file}: no file of tuned values; python -m ada_ensemble_tf.tune --write={file} makes one"),
    ]:
        file.write_text(json.dumps(content))
        with pytest.raises(flags.IllegalFlagValueError, match=re.escape(message)):
            parsed(monkeypatch, f"--config={file}{':dnn' if 'pnn' in content and len(content) == 1 else ''}")


def test_unknown_keys_are_named_with_those_that_are_like_them(monkeypatch):
    for key in ("bach_size=3", "model.hiden_units=(3,)"):
        name = key.partition("=")[0]
        like = name.replace("bach", "batch").replace("hiden", "hidden")
        with pytest.raises(flags.IllegalFlagValueError, match=f"unknown config key '{name}'; nearest: {like}"):
            parsed(monkeypatch, "--config=criteo:dnn", f"--config.{key}")


def test_the_command_line_takes_names_outside_the_checkout(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = parsed(monkeypatch, "--config=criteo:dcn_v2", "--config.batch_size=64")
    assert config.to_dict() == make_config("criteo", "dcn_v2", {"batch_size": 64}).to_dict() and config.is_locked
    (tmp_path / "mine.py").write_text((ROOT / "ada_ensemble_tf/configs/datasets/sample.py").read_text())
    assert parsed(monkeypatch, "--config=mine.py:dnn").to_dict() == make_config("sample", "dnn", {}).to_dict()
    with pytest.raises(flags.IllegalFlagValueError, match="critoe: no such Python file; configs that need no file"):
        parsed(monkeypatch, "--config=critoe:dnn")
    with pytest.raises(flags.IllegalFlagValueError, match="--config must have a value"):
        parsed(monkeypatch)
