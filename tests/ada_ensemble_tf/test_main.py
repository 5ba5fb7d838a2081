"""The `ada-ensemble` command."""

import configparser
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import error_in_process, help_in_process

import ada_ensemble_tf
from ada_ensemble_tf import __main__ as command
from data_pipelines.errors import _EXTRA_OF

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ran(monkeypatch):
    """What `main` would run: (module, sys.argv then)."""
    calls = []
    monkeypatch.setattr(command.runpy, "run_module", lambda module, **_: calls.append((module, sys.argv[1:])))
    return calls


@pytest.mark.parametrize("name", command.COMMANDS)
def test_each_command_runs_its_module_with_the_rest_of_the_arguments(name, ran, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ada-ensemble", name, "--workdir=a", "--out=b"])
    command.main()
    module = command.COMMANDS[name][0]
    assert ran == [(module, ["--workdir=a", "--out=b"])] and module.rpartition(".")[2] == name
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


@pytest.mark.parametrize("module", [module for module, _ in command.COMMANDS.values()])
def test_the_help_of_a_command_fits_a_screen_and_has_an_example(module, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    lines = help_in_process(module).splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 120
    assert any(f"python -m {module} --" in line for line in lines)
    names = [line.split()[0] for line in lines if re.match(r"  --\w", line)]
    assert names == sorted(names, key=lambda name: re.match(r"--(?:no)?(\w*)", name)[1]) and len(names) > 1
    assert not any("--helpfull" in line or "(default" in line for line in lines)


def test_unknown_commands_help_and_version(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ada-ensemble", "trian"])
    with pytest.raises(
        SystemExit, match="there is no command 'trian'; there are synthetic, doctor, prepare, plan, train"
    ):
        command.main()
    for arguments, shown in (([], "evaluate   score a split"), (["--version"], ada_ensemble_tf.__version__)):
        monkeypatch.setattr(sys, "argv", ["ada-ensemble", *arguments])
        command.main()
        assert shown in capsys.readouterr().out


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch):
    def run_module(module, **_):
        raise ModuleNotFoundError("No module named 'sklearn.metrics'", name="sklearn.metrics")

    monkeypatch.setattr(command.runpy, "run_module", run_module)
    monkeypatch.setattr(sys, "argv", ["ada-ensemble", "evaluate"])
    with pytest.raises(SystemExit, match=r"error: this command needs sklearn: pip install 'ada_ensemble_tf\[train\]'"):
        command.main()


def test_what_the_base_installation_lacks_is_what_the_messages_know():
    """Import names and the packages of setup.cfg, less those of `dev` alone."""
    packages = {
        "google_crc32c": "google-crc32c",
        "sklearn": "scikit-learn",
        "tensorflow_datasets": "tensorflow-datasets",
    }
    packages["tensorflow_serving"] = "tensorflow-serving-api"
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    for extra in ("train", "spark", "tune", "serving"):
        listed = set(re.findall(r"^([\w-]+)", config["options.extras_require"][extra], re.MULTILINE))
        known = {packages.get(name, name) for name, of in _EXTRA_OF.items() if of == extra}
        assert listed == known, extra


BASE_ONLY = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import ada_ensemble_tf
assert "tensorflow" not in sys.modules
import ada_ensemble_tf.inference.raw_scores, ada_ensemble_tf.trained.workdir, ada_ensemble_tf.predict
"""


def test_scoring_needs_the_base_installation_only():
    """`import ada_ensemble_tf` does not load TensorFlow either."""
    done = subprocess.run(
        [sys.executable, "-c", BASE_ONLY, ",".join(_EXTRA_OF)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(
    ("module", "argument", "package"),
    [("prepare", "--raw=a.txt", "tensorflow-datasets"), ("doctor", "--dataset=criteo", "SciPy")],
)
def test_what_is_needed_last_is_missed_first(module, argument, package, monkeypatch):
    find_spec, gone = importlib.util.find_spec, ("scipy", "tensorflow_datasets")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in gone else find_spec(name, *a))
    message = error_in_process(f"data_pipelines.{module}", "--data_dir=/nowhere", argument)
    assert f"data needs {package}: pip install 'ada_ensemble_tf[train]'" in message


def test_the_version_is_said_alike():
    version = ada_ensemble_tf.__version__
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    assert "version = attr: ada_ensemble_tf.__version__" in (ROOT / "setup.cfg").read_text()
