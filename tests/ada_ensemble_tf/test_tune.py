"""Tuning: once with real trainings through the command line, then with a function instead of trainings."""

import json
import math
import os
import sys
import threading
from pathlib import Path

import pytest
from absl import flags
from command_line import error_in_process, run_forked
from hparams_table import hparams_table

from ada_ensemble_tf.comparison import runs
from ada_ensemble_tf.comparison import tuning as tuning_module
from ada_ensemble_tf.comparison.configs import make_config
from ada_ensemble_tf.comparison.runs import Workers
from ada_ensemble_tf.comparison.tuning import Tuning, write_best
from ada_ensemble_tf.configs import defaults
from ada_ensemble_tf.configs.files import define_config
from ada_ensemble_tf.configs.search_spaces import Choice, LogUniform
from data_pipelines import locks
from data_pipelines.errors import UserError

RATE = "embedding_optimizer.learning_rate"
SPACE = {RATE: LogUniform(1e-2, 1e-1), "embedding_optimizer.l2": Choice((0.1, 0.3, 1.0))}


def test_trials_write_a_file_that_configs_read(prepared_criteo, tmp_path):
    arguments = [
        "ada_ensemble_tf.tune", "--config=experiments/sample.py", "--models=logistic_regression", "--trials=2",
        "--jobs=2", "--set=max_epochs=0.5", f"--data_dir={prepared_criteo}", f"--out={tmp_path}/out",
        f"--write={tmp_path}/tuned/sample.json",
    ]  # fmt: skip
    printed = run_forked(*arguments)
    best = json.loads((tmp_path / "tuned" / "sample.json").read_text())["logistic_regression"]
    folders = [path for path in (tmp_path / "out" / "logistic_regression").iterdir() if path.is_dir()]
    trials = [json.loads((folder / "metrics.json").read_text()) for folder in folders]
    rates = {trial["validation"]["auc"]: trial["config"]["embedding_optimizer"]["learning_rate"] for trial in trials}
    assert len(folders) == 2 and not any("test" in trial for trial in trials)
    assert [path.name for folder in folders for path in folder.iterdir() if path.is_dir()] == ["tensorboard"] * 2
    columns, rows = hparams_table(tmp_path / "out")
    assert columns == {"validation/auc", "validation/logloss"}
    aucs = {trial["config"]["embedding_optimizer"]["learning_rate"]: trial["validation"]["auc"] for trial in trials}
    shown = {hparams[RATE]: values["validation/auc"] for hparams, values in rows.values()}
    assert shown == pytest.approx(aucs, abs=1e-6)
    assert [hparams["model"] for hparams, _ in rows.values()] == ["logistic_regression"] * 2
    assert all(path.name == "hparams" for folder in folders for path in (folder / "tensorboard").iterdir())
    assert 0.02 in rates.values() and all(0.01 <= rate <= 0.1 for rate in rates.values())
    assert (best["trials"], best["failed"], best["validation_auc"]) == (2, 0, max(rates))
    assert best["values"] == {RATE: rates[max(rates)]}
    assert f"--config.{RATE}={rates[max(rates)]}" in printed
    config = defaults.apply_tuned(defaults.config_for("logistic_regression"), tmp_path / "tuned" / "sample.json")
    assert config.embedding_optimizer.learning_rate == rates[max(rates)]
    values = flags.FlagValues()
    define_config(values)
    values(["train", f"--config={tmp_path}/tuned/sample.json"])
    (of_best,) = (trial["config"] for trial in trials if trial["validation"]["auc"] == max(rates))
    assert json.loads(json.dumps(values["config"].value.to_dict())) == of_best and values["config"].value.is_locked
    # All trials are done: nothing is trained.
    before = {folder: (folder / "train.log").stat().st_mtime_ns for folder in folders}
    assert run_forked(*arguments) == printed
    assert {folder: (folder / "train.log").stat().st_mtime_ns for folder in folders} == before


@pytest.fixture
def tuning(monkeypatch, tmp_path):
    """Makes a `Tuning` whose trainings are `fake_worker`, from (config values, space, seed)."""
    monkeypatch.setattr(runs, "WORKER", "fake_worker")
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[1]}:{Path(__file__).parents[2]}")

    def make(folder="out", space=SPACE, seed=0, fingerprint="0123", search="tpe", **values) -> Tuning:
        # A config that reads no tuned values.
        config = make_config("experiments/criteo.py", "logistic_regression", {"batch_size": 512} | values)
        return Tuning(config, space, tmp_path, fingerprint, tmp_path / folder, seed, search)

    return make


def proposed(tuning: Tuning) -> list[dict]:
    """The values of all trials that count."""
    return [trial.user_attrs["values"] for trial in tuning.trials()]


def test_the_first_trial_is_the_config_as_it_is_though_out_of_range(tuning):
    one = tuning()
    with Workers(1) as workers:
        one.run(1, workers)
    # l2 is 0 there, which the space does not hold.
    config = defaults.config_for("logistic_regression")
    assert proposed(one) == [{RATE: config.embedding_optimizer.learning_rate, "embedding_optimizer.l2": 0.0}]
    assert one.best()["values"] == proposed(one)[0]


def test_tuning_finds_the_best_and_goes_on_as_if_uninterrupted(tuning):
    whole, parts = tuning("whole"), tuning("parts")
    with Workers(1) as workers:
        whole.run(10, workers)
        parts.run(3, workers)
        parts = tuning("parts")
        parts.run(10, workers)
    assert proposed(parts) == proposed(whole) and len(proposed(whole)) == 10
    assert whole.best()["values"][RATE] == pytest.approx(0.03, rel=0.25)
    assert whole.best()["validation_auc"] == max(trial.value for trial in whole.trials())


def test_trials_are_ranked_by_the_metric_that_the_config_monitors(tuning):
    """LogLoss is lowest where the embeddings' learning rate is 0.05, not where AUC is largest."""
    by_auc, by_loss = tuning("by_auc"), tuning("by_loss", monitor="logloss")
    with Workers(1) as workers:
        by_auc.run(5, workers)
        by_loss.run(5, workers)
    rates = {trial.value: trial.user_attrs["values"][RATE] for trial in by_loss.trials()}
    best = by_loss.best()
    assert best["validation_logloss"] == min(rates) and best["values"][RATE] == rates[min(rates)]
    assert "validation_auc" not in best and "validation_logloss" not in by_auc.best()
    nearest = min(rates.values(), key=lambda rate: abs(math.log(rate / 0.05)))
    assert best["values"][RATE] == nearest != by_auc.best()["values"][RATE]
    with pytest.raises(UserError, match=r"journal\.log: its trials were not ranked by AUC; choose another --out"):
        tuning("by_loss")


def test_a_grid_is_walked_once_and_then_ends(tuning):
    one = tuning(search="grid")
    with Workers(1) as workers:
        one.run(4, workers)
        one._ask()
        one = tuning(search="grid")
        one.run(100, workers)
    # The config as it is, which lies outside the space, and every point of the grid, an interrupted one included.
    points = [tuple(values.values()) for values in proposed(one)]
    assert sorted(points[1:]) == [(rate, l2) for rate in (0.01, 0.0316228, 0.1) for l2 in (0.1, 0.3, 1.0)]
    assert one.best()["values"][RATE] == 0.0316228
    with pytest.raises(UserError, match="tuned with search='grid', now None"):
        tuning()


def test_an_interrupted_trial_is_run_again_and_counted_once(tuning):
    one = tuning()
    with Workers(1) as workers:
        one.run(2, workers)
        interrupted = one._ask()
        values = interrupted.user_attrs["values"]
        again = tuning()
        again.run(4, workers)
    assert len(proposed(again)) == 4 and proposed(again)[2] == values
    assert interrupted.number not in [trial.number for trial in again.trials()]


def test_interrupted_defaults_are_run_again(tuning):
    one = tuning()
    values = one._ask().user_attrs["values"]
    one._ask()
    with Workers(2) as workers:
        again = tuning()
        again.run(2, workers)
    assert proposed(again)[0] == values and len(proposed(again)) == 2


def test_runs_at_once_share_the_cores(tuning, monkeypatch, tmp_path):
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runs.os, "cpu_count", lambda: 8)
    for jobs, threads in ((1, None), (2, "4"), (16, "1")):
        with Workers(jobs) as workers:
            tuning(f"jobs_{jobs}").run(1, workers)
        (file,) = (tmp_path / f"jobs_{jobs}").glob("*/threads.json")
        assert json.loads(file.read_text()) == [threads] * 3
    with pytest.raises(UserError, match="--jobs must be at least 1; received 0"):
        Workers(0)


def test_a_failed_trial_counts_and_all_failed_is_no_best(tuning):
    one = tuning(space=SPACE | {"batch_size": Choice((13, 512))}, batch_size=13)
    with Workers(1) as workers:
        one.run(1, workers)
        assert one.best() is None and one.trials()[0].user_attrs["failure"] == "thirteen rows bring bad luck"
        one.run(6, workers)
    best = one.best()
    assert best["trials"] == 6 and 1 <= best["failed"] < 6 and best["values"]["batch_size"] == 512


def test_other_configs_and_data_are_refused_but_tuned_values_are_not(tuning):
    with Workers(1) as workers:
        tuning().run(1, workers)
        # The config reads tuned values, but the trials go on from the config as it was.
        later = tuning(**{RATE: 0.07})
        later.run(2, workers)
    assert proposed(later)[0][RATE] == 0.02
    with pytest.raises(UserError, match="tuned with batch_size=512, now 64; choose another --out"):
        tuning(batch_size=64)
    with pytest.raises(UserError, match="tuned with data='0123', now '4567'"):
        tuning(fingerprint="4567")
    with pytest.raises(UserError, match="tuned with range of embedding_optimizer.l2"):
        tuning(space=SPACE | {"embedding_optimizer.l2": Choice((0.1,))})


@pytest.mark.parametrize("content", [b"no journal\n", b"no journal\n{}\n", b"{}\n", b"[1]\n", b"\xff\xfe\n\n"])
def test_a_journal_that_cannot_be_read_is_one_clear_error(tuning, tmp_path, content):
    journal = tmp_path / "out" / "journal.log"
    journal.parent.mkdir()
    journal.write_bytes(content)
    with pytest.raises(UserError, match=f"^{journal}: not a readable journal of trials .*; delete {journal.parent},"):
        tuning()


def test_the_file_keeps_other_models(tmp_path):
    write_best(tmp_path / "one.json", "a", {"values": {"x": 1}})
    write_best(tmp_path / "one.json", "b", {"values": {"x": (2, 2)}})
    write_best(tmp_path / "one.json", "a", {"values": {"x": 3}})
    assert json.loads((tmp_path / "one.json").read_text()) == {
        "a": {"values": {"x": 3}},
        "b": {"values": {"x": [2, 2]}},
    }


def test_models_of_several_processes_all_get_into_the_file(tmp_path, monkeypatch):
    file, load = tmp_path / "best.json", tuning_module.load_tuned
    (tmp_path / "link.json").symlink_to(file)
    write_best(file, "before", {"values": {}})

    def load_while_another_writes(path):
        known = load(path)
        monkeypatch.setattr(tuning_module, "load_tuned", load)
        other.start()
        # It would come through here if nothing held it up.
        other.join(0.2)
        return known

    other = threading.Thread(target=write_best, args=(file, "other", {"values": {}}))
    monkeypatch.setattr(tuning_module, "load_tuned", load_while_another_writes)
    write_best(tmp_path / "link.json", "one", {"values": {}})
    other.join()
    assert json.loads(file.read_text()).keys() == {"before", "one", "other"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.json", "link.json"]


def test_best_values_go_through_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_best(tmp_path / "pipe", "one", {"values": {}})
    reader.join()
    assert [json.loads(text) for text in read] == [{"one": {"values": {}}}]


def test_two_tunings_do_not_share_a_directory(prepared_criteo, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.1)
    arguments = ["--config=experiments/sample.py", "--models=dnn", f"--data_dir={prepared_criteo}", f"--out={tmp_path}"]
    with locks.alone_in(tmp_path, ""):
        message = error_in_process("ada_ensemble_tf.tune", *arguments)
        assert [path.name for path in tmp_path.iterdir()] == [locks.LOCK_FILE]
    assert f"{tmp_path}: process {os.getpid()} on " in message and message.endswith("choose another --out")


def test_without_optuna_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    for name in ("ada_ensemble_tf.comparison.tuning", "ada_ensemble_tf.comparison.search"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    message = error_in_process(
        "ada_ensemble_tf.tune", "--config=experiments/frappe.py", "--models=dnn", "--data_dir=/none", "--out=/none"
    )
    assert message.startswith("error: tuning needs optuna: pip install 'ada_ensemble_tf[tune]', or in a checkout ")
