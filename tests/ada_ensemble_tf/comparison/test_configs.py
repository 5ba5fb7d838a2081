"""Configs and studies of comparisons."""

import inspect
from pathlib import Path

import pytest

from ada_ensemble_tf.comparison.configs import config_hash, flat, load_study, make_config
from data_pipelines.errors import UserError
from experiments import planted_trials, studies

ROOT = Path(__file__).parents[3]


STUDIES = [
    (file, name)
    for file in (studies, planted_trials)
    for name, function in inspect.getmembers(file, inspect.isfunction)
    if function.__module__ == file.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize(("file", "name"), STUDIES)
def test_every_study_has_configs(file, name):
    study = load_study(f"{file.__file__}:{name}")
    assert study == getattr(file, name)()
    for label, (model, values) in study.items():
        config = flat(make_config(ROOT / "experiments/frappe.py", model, values).to_dict())
        wanted = flat(values)
        assert {key: config[key] for key in wanted} == wanted and config["model.name"] == model, label


def test_the_hash_is_the_same_for_all_seeds():
    first, second = (make_config(ROOT / "experiments/frappe.py", "dnn", {"seed": seed}) for seed in (0, 1))
    assert config_hash(first.to_dict()) == config_hash(second.to_dict())


def test_flat():
    assert flat({"a": {"b": (1, (2, 3))}, "c": None}) == {"a.b": [1, [2, 3]], "c": None}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return []", "returns a dictionary by label"),
        ("return {'a/b': ('dnn', {})}", "a label names a folder"),
        ("return {'.': ('dnn', {})}", "a label names a folder"),
        ("return {'a': 'dnn'}", r"'a' should be \(model, \{key: value\}\); received 'dnn'"),
    ],
)
def test_a_study_is_checked(tmp_path, body, message):
    (tmp_path / "studies.py").write_text(f"def one():\n    {body}\n")
    with pytest.raises(UserError, match=message):
        load_study(f"{tmp_path}/studies.py:one")


def test_missing_files_and_functions(tmp_path):
    with pytest.raises(UserError, match="no such Python file"):
        make_config(tmp_path / "none.py", "dnn", {})
    with pytest.raises(UserError, match="written FILE.py:NAME; received 'studies.py'"):
        load_study("studies.py")
