"""Runs what README and the guides show.

Python blocks run on small prepared data, JSON blocks are read as schema files. Command lines are parsed by the commands
themselves, so that flags, config keys and configs must exist; what the commands do with them is run by
test_end_to_end.py, test_compare.py, test_tune.py, test_report.py and the tests of prepare, doctor and serving.
"""

import inspect
import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from command_line import ROOT, error_in_process

from ada_ensemble_tf.__main__ import COMMANDS
from ada_ensemble_tf.comparison.configs import make_config
from ada_ensemble_tf.models import MODELS
from data_pipelines import errors
from data_pipelines.formats.tabular import parse_schema

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
SETUP = (ROOT / "setup.cfg").read_text()


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [text for of, text in fenced if of == language]


COMMAND_LINES = [
    pytest.param(line.removeprefix("$ "), id=f"{page.stem}-{number}")
    for page in PAGES
    for number, line in enumerate(line for block in blocks(page, "") for line in block.splitlines())
    if line and not line.startswith("error: ")
]


def check(words: list[str], monkeypatch) -> None:
    """Fails unless a command line can be understood."""
    words = words[next(i for i, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)) :]
    match words:
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["pip", "install", package]:
            (extra,) = re.fullmatch(r"ada_ensemble_tf\[(\w+)\]", package).groups()
            assert re.search(rf"^{extra} =$", SETUP, re.MULTILINE)
        case ["docker", "compose", "-f", file, "up"]:
            assert (ROOT / file).is_file()
        case ["docker", "build", *_]:
            assert 'ENTRYPOINT ["ada-ensemble"]' in (ROOT / "Dockerfile").read_text()
        case ["docker", "run", "--rm", "-v", "$PWD:/work", *rest]:
            check(rest, monkeypatch)
        case ["ada-ensemble", command, *arguments]:
            parse(COMMANDS[command][0], arguments, monkeypatch)
        case ["python", "-m", module, *arguments]:
            parse(module, arguments, monkeypatch)
        case ["tensorboard", argument]:
            assert argument == "--logdir=runs"
        case [first, *_] if first.startswith("--config."):
            parse(
                "ada_ensemble_tf.train",
                ["--config=sample:ada_ensemble", "--data_dir=a", "--workdir=b", *words],
                monkeypatch,
            )
        case _:
            raise AssertionError(f"no test knows {words}")


def parse(module: str, arguments: list[str], monkeypatch) -> None:
    """Lets a command define and parse its flags, without doing anything."""
    path = ROOT / module.replace(".", "/")
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    if "argparse" in (source := file.read_text()):
        assert all(f'"{argument.partition("=")[0]}"' in source for argument in arguments)
        return
    known = set(flags.FLAGS)
    monkeypatch.setattr(errors, "run_main", lambda main: flags.FLAGS(sys.argv))
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.chdir(ROOT)
    try:
        runpy.run_path(str(file), run_name="__main__")
    finally:
        # The next command defines flags of the same names.
        for name in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_every_command_line_can_be_understood(line, monkeypatch):
    check(shlex.split(line, comments=True), monkeypatch)


def test_a_wrong_command_line_is_found(monkeypatch):
    for line in (
        "ada-ensemble train --config=criteo:dcn_v3 --data_dir=a --workdir=b",
        "ada-ensemble doctor --row=a.txt",
    ):
        with pytest.raises((flags.Error, ValueError)):
            check(line.split(), monkeypatch)


@pytest.fixture
def runs(prepared_criteo, small_run, tmp_path, monkeypatch) -> Path:
    """The working directory of the Python blocks, with what `make train` leaves."""
    (tmp_path / "runs" / "synthetic").mkdir(parents=True)
    (tmp_path / "runs" / "synthetic" / "data").symlink_to(prepared_criteo)
    (tmp_path / "runs" / "synthetic" / "logistic_regression").symlink_to(small_run)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def executed(page: str) -> list[dict]:
    """The names that each Python block of a page defines."""
    found = []
    for code in blocks(ROOT / page, "python"):
        exec(compile(code, page, "exec"), names := {"__name__": page})
        found.append(names)
    return found


def test_readme_in_python(runs):
    (names,) = executed("README.md")
    model, data, ctr = names["model"], names["data"], names["ctr"]
    assert int(model.step) == -(-data.rows["train"] // 1024) and (runs / "ada_ensemble.keras").is_file()
    assert ctr.shape == (data.rows["test"],) and 0.0 < ctr.mean() < 1.0
    assert len(blocks(README, "python")[0].splitlines()) <= 10 and len(README.read_text().splitlines()) <= 130


def test_training_in_python(runs, capsys):
    bilevel, loaded = executed("docs/guides/training.md")
    model, again, data = bilevel["model"], bilevel["again"], bilevel["data"]
    assert int(model.step) == 2 * 5 * 4
    np.testing.assert_array_equal(again.predict(data.evaluation("test", 1024), verbose=0), bilevel["ctr"])
    (file,) = (runs / "runs" / "fit").iterdir()
    tags = {value.tag for event in tf.compat.v1.train.summary_iterator(str(file)) for value in event.summary.value}
    assert {"layer_1/load/cross", "layer_2/routed/polynomial", "depth/load/exit_2", "layer_1/k"} <= tags
    assert loaded["run"].predict(loaded["columns"]).shape == (2,)


def test_extending_in_python(runs):
    _, own = executed("docs/guides/extending.md")
    assert int(own["model"].step) == 1
    (runs / "mine.py").write_text(blocks(ROOT / "docs/guides/extending.md", "python")[0])
    assert make_config("mine.py", "dcn_v2", {}).batch_size == 1024


def test_every_schema_can_be_read():
    found = [text for page in PAGES for text in blocks(page, "json")]
    assert found
    for text in found:
        parse_schema(json.loads(text), "schema.json")


def test_the_error_in_the_data_guide_is_what_prepare_says(tmp_path):
    text = (ROOT / "docs/guides/data.md").read_text()
    (shown,) = re.findall(r"^(error: .*)$", text, re.MULTILINE)
    rows = [["0", *["1"] * 13, *["a"] * 26], ["1", "1", "1", "abc", *["1"] * 10, *["a"] * 26]]
    rows += [rows[0]] * 200
    (tmp_path / "bad.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    arguments = ["--dataset=criteo", f"--raw={tmp_path}/bad.txt", f"--data_dir={tmp_path}/bad"]
    assert error_in_process("data_pipelines.prepare", *arguments).replace(f"{tmp_path}/", "") == shown


def test_the_table_of_models_has_each_model_once():
    table = README.read_text().partition("## Models")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(names) == sorted(MODELS)


def test_the_papers_of_all_models_are_cited_with_the_numbers_of_the_docstrings():
    text = (ROOT / "CITATION.cff").read_text().partition("references:\n")[2]
    cited: dict[str, list[str]] = {}
    for reference in f"\n{text}".split("\n  - type: ")[1:]:
        (number,) = re.findall(r"arXiv:([\d.]+)|doi: (\S+)", reference)
        assert re.search(r"^    year: \d{4}$", reference, re.MULTILINE) and "family-names" in reference
        for model in re.findall(r"^    notes: \"models: (.*)\"$", reference, re.MULTILINE)[0].split(", "):
            cited.setdefault(model, []).append(number[0])
    assert sorted(cited) == sorted(MODELS)
    for model, numbers in cited.items():
        source = inspect.getsource(inspect.getmodule(MODELS[model]))
        assert [number for number in numbers if number and number not in source] == [], model


def test_the_table_of_results_has_the_figures_of_its_pages():
    table = README.read_text().partition("<!-- Figures")[2].partition("<!-- End")[0]
    pages = [table_of(ROOT / "experiments" / "results" / page) for page in ("frappe.md", "planted.md")]
    rows = [
        [cell.strip(" `*") for cell in row.strip("|").split("|")] for row in table.splitlines() if row.startswith("| ")
    ]
    assert len(rows) > 5
    for name, *cells in rows[1:]:
        for figures, (auc, flops) in zip(pages, (cells[:2], cells[2:]), strict=True):
            if not auc:
                continue
            page_auc, page_flops = figures[name]
            assert auc == " ± ".join(f"{float(part):.4f}" for part in page_auc.split(" ± ")) and flops == page_flops, (
                name
            )


def table_of(page: Path) -> dict[str, tuple[str, str]]:
    """(AUC, FLOPs) of each row of a page's first comparison."""
    lines = iter(page.read_text().splitlines())
    head = next(line for line in lines if line.startswith("|") and "FLOPs/example" in line)
    names = [cell.strip() for cell in head.strip("|").split("|")]
    found = {}
    for line in lines:
        if not line.startswith("|"):
            break
        cells = dict(zip(names, (cell.strip() for cell in line.strip("|").split("|")), strict=True))
        found[cells[""]] = cells["AUC"], cells["FLOPs/example"]
    return found


def test_the_picture_is_what_its_script_draws():
    drawn = runpy.run_path(str(ROOT / "docs/figures/architecture.py"))["figure"]()
    text = {text.get_text() for text in drawn.axes[0].texts}
    saved = (ROOT / "docs/figures/architecture.svg").read_text()
    assert text and all(one in saved for one in text)
