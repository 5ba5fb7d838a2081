"""Compares two tiny models through the command line; one of them cannot be trained."""

import csv
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, error_of_forked, run_forked, start_forked
from hparams_table import hparams_table

from ada_ensemble_tf.comparison import comparing, runs
from ada_ensemble_tf.comparison.configs import make_config
from ada_ensemble_tf.evaluation import metrics
from data_pipelines.errors import Stopped, UserError
from data_pipelines.locks import alone_in
from data_pipelines.read.dataset import open_data

COMPARE = "ada_ensemble_tf.compare"
STUDIES = """
def both():
    return {"plain": ("logistic_regression", {}), "broken": ("dnn", {"model.activation": "no_such_function"})}

def plain():
    return {"plain": ("logistic_regression", {})}
"""
SEEDS = 2


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """A file of studies."""
    file = tmp_path_factory.mktemp("studies") / "studies.py"
    file.write_text(STUDIES)
    return file


@pytest.fixture(scope="module")
def arguments(prepared_criteo) -> list[str]:
    """The arguments that all comparisons here share."""
    return ["--config=experiments/sample.py", "--set=max_epochs=2.0", f"--data_dir={prepared_criteo}"]


@pytest.fixture(scope="module")
def compared(studies, arguments, tmp_path_factory) -> tuple[Path, str, int]:
    """(output folder, printed text, exit code) of the study "both"; test_tune.py starts processes as a user does."""
    out = tmp_path_factory.mktemp("compare") / "out"
    process = start_forked(
        COMPARE, f"--study={studies}:both", f"--seeds={SEEDS}", f"--out={out}", "--jobs=2", *arguments,
        "--set=report_every=4",
    )  # fmt: skip
    code = process.wait()
    assert code is not None and "Traceback" not in process.err, process.err[-4000:]
    return out, process.out + process.err, code


def table(out: Path) -> dict[str, dict[str, str]]:
    """Rows of table.csv by label."""
    with open(out / "table.csv", encoding="utf-8") as file:
        return {row["label"]: row for row in csv.DictReader(file)}


def test_the_figures_are_those_of_the_runs(compared, prepared_criteo):
    out, printed, _ = compared
    results = [json.loads((out / "plain" / f"seed_{s}" / "metrics.json").read_text()) for s in range(SEEDS)]
    row = table(out)["plain"]
    for name in ("auc", "logloss", "normalized_entropy", "calibration"):
        values = [result["test"][name] for result in results]
        assert float(row[f"{name}_mean"]) == pytest.approx(np.mean(values))
        assert float(row[f"{name}_std"]) == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2))
    assert results[0]["test"]["auc"] != results[1]["test"]["auc"]
    assert int(row["parameters"]) == results[0]["parameters"]
    assert float(row["best_step"]) == np.mean([result["best_step"] for result in results])
    assert float(row["examples_per_second"]) == pytest.approx(np.median([r["examples_per_second"] for r in results]))
    assert (row["seeds_done"], row["mark"]) == ("2", "best") and re.fullmatch("[0-9a-f]{8}", row["config_hash"])
    text = (out / "table.md").read_text()
    assert text.strip() in printed
    assert f"| plain | {float(row['auc_mean']):.5f} ± {float(row['auc_std']):.5f} |" in text
    assert open_data(prepared_criteo).fingerprint in text and "with 2 runs at once" in text and "--seeds=2" in text


def test_the_page_is_there_and_names_what_failed(compared):
    out, printed, _ = compared
    page = (out / "report.html").read_text()
    assert f"report: {out}/report.html" in printed
    assert "plain is alone here: AUC 0." in page and "Failed: broken, seed 0: " in page
    assert not list(out.glob("*.incomplete"))


def test_a_failed_run_fails_alone_and_is_told(compared):
    out, printed, code = compared
    assert code == 1
    row = table(out)["broken"]
    assert (row["seeds_done"], row["seeds_failed"], row["auc_mean"]) == ("0", "2", "")
    assert "no_such_function" in row["failure"] and "| 0 of 2, 2 failed (seed " in (out / "table.md").read_text()
    assert len(re.findall(r"\d of 4 done: broken, seed [01]: failed: config.model\b.*no_such_function", printed)) == 2
    assert len(re.findall(r"\d of 4 done: plain, seed [01]: AUC 0\.\d{5}; about", printed)) == 2
    assert "no_such_function" in (out / "broken" / "seed_1" / "train.log").read_text()


def test_the_saved_predictions_have_the_metrics(compared):
    out, _, _ = compared
    labels = np.load(out / "test_labels.npy")
    for seed in range(SEEDS):
        folder = out / "plain" / f"seed_{seed}"
        probabilities = np.load(folder / "test_probabilities.npy")
        result = json.loads((folder / "metrics.json").read_text())
        assert probabilities.dtype == np.float32 and result["config"]["seed"] == seed
        assert metrics.auc(labels, probabilities) == pytest.approx(result["test"]["auc"], abs=1e-9)


def test_the_hparams_table_has_a_row_of_each_run(compared):
    out, _, _ = compared
    columns, rows = hparams_table(out)
    assert columns == {"validation/auc", "validation/logloss", "test/auc", "test/logloss"}
    assert rows.keys() == {f"plain/seed_{seed}/tensorboard/hparams" for seed in range(SEEDS)}
    for name, (hparams, values) in rows.items():
        result = json.loads((out / name).parents[1].joinpath("metrics.json").read_text())
        # Only "broken" sets another activation, a key that this model does not have.
        assert hparams == {"label": "plain", "model": "logistic_regression", "seed": result["config"]["seed"]}
        assert values["test/auc"] == pytest.approx(result["test"]["auc"], abs=1e-6)
        assert values["validation/logloss"] == pytest.approx(result["validation"]["logloss"], abs=1e-6)


def test_only_what_is_missing_or_interrupted_is_trained(compared, studies, arguments, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    # As if killed between the last checkpoint and the results.
    for name in ("run.json", "metrics.json", "test_probabilities.npy"):
        (out / "plain" / "seed_1" / name).unlink()
    before = (out / "plain" / "seed_0" / "metrics.json").stat().st_mtime_ns
    log = (out / "plain" / "seed_0" / "train.log").read_text()
    run_forked(COMPARE, f"--study={studies}:plain", "--seeds=2", f"--out={out}", *arguments, "--set=report_every=4")
    assert (out / "plain" / "seed_0" / "metrics.json").stat().st_mtime_ns == before
    assert (out / "plain" / "seed_0" / "train.log").read_text() == log
    assert "resuming at step" in (out / "plain" / "seed_1" / "train.log").read_text()
    assert table(out)["plain"]["auc_mean"] == table(compared[0])["plain"]["auc_mean"]
    assert "with 1 or 2 runs at once" in (out / "table.md").read_text()
    message = error_of_forked(COMPARE, f"--study={studies}:plain", f"--out={out}", *arguments, "--set=batch_size=64")
    assert "plain/seed_0: trained with config.batch_size=256, now 64; choose another --out" in message


def test_other_data_is_refused(compared, studies, prepared_criteo):
    planned = plan(compared[0], studies, prepared_criteo)
    with pytest.raises(UserError, match="fingerprint .*, which now is 0123"):
        planned[0].check_same("0123")


def plan(out: Path, studies: Path, data_dir: Path) -> list[runs.Run]:
    """The plan of `compared`'s good runs."""
    variants = {"plain": ("logistic_regression", {})}
    values = {"max_epochs": 2.0, "report_every": 4}
    return comparing.plan("experiments/sample.py", variants, values, SEEDS, data_dir, out)


def test_the_truth_is_a_row(compared, studies, prepared_criteo, tmp_path, capsys):
    (tmp_path / "truth.json").write_text(json.dumps({"bayes_auc": 0.99, "bayes_logloss": 0.1}))
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    assert comparing.compare(plan(out, studies, prepared_criteo), prepared_criteo, out, 1, tmp_path / "truth.json")
    assert "| Bayes-optimal | 0.99000 | 0.10000 |" in capsys.readouterr().out
    assert [row["mark"] for row in table(out).values()] == ["", "best"]


def test_two_comparisons_do_not_share_a_folder(studies, prepared_criteo, tmp_path):
    message = f"process {os.getpid()} on .* has been at work here since"
    with alone_in(tmp_path, ""), pytest.raises(UserError, match=message):
        comparing.compare(plan(tmp_path, studies, prepared_criteo), prepared_criteo, tmp_path, 1, None)


def test_a_killed_process_is_told_and_none_outlives_its_parent(prepared_criteo, tmp_path):
    config = make_config("experiments/sample.py", "logistic_regression", {}).to_dict()
    with runs.Workers(1) as workers:
        workers.start(runs.Run("plain", config, tmp_path / "killed", prepared_criteo))
        workers._running[0][1].kill()
        assert workers.wait()[1] == "killed by SIGKILL (out of memory?)"
        workers.start(runs.Run("plain", config, tmp_path / "orphan", prepared_criteo))
        process = workers._running[0][1]
        process.stdin.close()
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert process.returncode == 1 and not (tmp_path / "orphan" / "run.json").exists()
        workers._running.clear()


def test_wrong_use_is_one_clear_error(studies, arguments, tmp_path):
    out = f"--out={tmp_path}/out"
    assert "give one of --models and --study" in error_of_forked(
        COMPARE, *arguments, out, "--models=dnn", f"--study={studies}:plain"
    )
    assert "there is no config for model 'dnnn'" in error_of_forked(COMPARE, *arguments, out, "--models=dnn,dnnn")
    assert "there is no function 'none'" in error_of_forked(COMPARE, *arguments, out, f"--study={studies}:none")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_trainings_end_with_a_checkpoint_where_the_comparison_is_asked_to_end(monkeypatch, tmp_path, number):
    monkeypatch.setattr(runs, "WORKER", "waiting_worker")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    folders, before = [tmp_path / "one", tmp_path / "two"], signal.getsignal(number)
    with pytest.raises(Stopped, match=f"asked to end by {number.name}; the same command goes on"), runs.Workers(2) as w:
        for folder in folders:
            w.start(runs.Run("plain", {}, folder, tmp_path))
        deadline = time.monotonic() + 60
        while not all((folder / "started").exists() for folder in folders) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), number)
        w.wait()
    assert all((folder / "checkpoint").exists() for folder in folders)
    assert all("stopped: asked to end by" in (folder / "train.log").read_text() for folder in folders)
    assert signal.getsignal(number) is before
