"""Day by day: what tests and trains when, what is not repeated, and what the table says."""

import csv

import keras
import numpy as np
import pytest
from daily_rows import ADS, SCHEMA, write_day
from ml_collections import ConfigDict
from sklearn.metrics import roc_auc_score

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.inference.runs import load_run
from ada_ensemble_tf.progression import days as days_module
from ada_ensemble_tf.progression.days import progress
from ada_ensemble_tf.progression.page import table
from ada_ensemble_tf.progression.request import MODES, Request, day_folder
from ada_ensemble_tf.trained.start_file import load_start
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options

BATCH = 50


class InThisProcess:
    """`Workers` that train here, which takes a fraction of the time, and remember what they trained."""

    def __init__(self, jobs):
        self.trained = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def start(self, run):
        from ada_ensemble_tf.training.run import train

        keras.utils.clear_session()
        data = open_data(run.data_dir)
        train(ConfigDict(run.config), data, run.folder, score_test=False, continue_from=run.continue_from)
        self.trained.append(run)
        TRAINED.append(run.label)
        self._run = run

    def wait(self):
        return self._run, None


TRAINED: list[str] = []


def request_of(days, **changed):
    config = config_for("logistic_regression")
    config.update({"batch_size": BATCH, "max_epochs": 2.0, "eval_every": 6, "patience": 9, **changed})
    options = Options(*parse_schema(SCHEMA, "s.json"), min_count=2, block_rows=64, split=(0.8, 0.1, 0.1))
    return Request(tuple(days), options, 2, config.to_dict())


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """(raw files of three days, the directory after the days, the figures after two days and after three)."""
    folder, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("out") / "days"
    raw = [write_day(folder / f"day{n}.csv", ads, rows=300, seed=n) for n, ads in enumerate(ADS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(days_module, "Workers", InThisProcess)
        TRAINED.clear()
        two = progress(request_of(raw[:2]), MODES, out)
        first = list(TRAINED)
        three = progress(request_of(raw), MODES[:1], out)
    return raw, out, two, three, first, TRAINED[len(first) :]


def test_each_day_tests_the_model_of_the_days_before_and_then_trains(worked):
    raw, out, two, three, first, second = worked
    assert first == ["day 1", "continue, day 2", "anew, day 2"]
    # The day that was added is all that is done then.
    assert second == ["continue, day 3"]
    assert [(day.number, day.mode) for day in two] == [(n, mode) for n in (1, 2) for mode in MODES]
    assert [day.metrics is None for day in two] == [True, True, False, False]
    for day in two[2:]:
        run = load_run(out / "first" / "day_01" / "run")
        columns = dict(
            zip(["y", "ad", "price", "user"], np.loadtxt(raw[1], str, delimiter=",", skiprows=1).T, strict=True)
        )
        scores = run.predict({name: columns[name].tolist() for name in ("ad", "price", "user")})
        labels = columns["y"].astype(int)
        assert day.metrics["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
        assert day.metrics["calibration"] == pytest.approx(scores.mean() / labels.mean(), rel=1e-5)
        assert day.metrics["rows"] == len(labels) == 300
    assert three[-1].number == 3 and three[-1].metrics["auc"] > 0.5


def test_continued_days_read_their_own_rows_and_new_models_all_rows(worked):
    _, out, two, _, _, _ = worked
    rows = {mode: open_data(out / mode / "day_02" / "data").rows["train"] for mode in MODES}
    assert rows["anew"] > 1.8 * rows["continue"]
    for day in two:
        read = open_data(day_folder(out, day.mode, day.number) / "data").rows["train"]
        assert day.rows == 2 * -(-read // BATCH) * BATCH
    start = load_start(out / "continue" / "day_02" / "run")
    assert start.kind == "continued" and start.step == start.first_step == two[0].rows / BATCH
    assert load_start(out / "anew" / "day_02" / "run").kind == "new"
    assert open_data(out / "continue" / "day_03" / "data").preparation.options.retire_after == 2


def test_table_and_figure(worked):
    _, out, _, three, _, _ = worked
    text = table(three)
    assert (out / "days.md").read_text() == text
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert lines[2][:6] == ["1", "day0.csv", "continue", "", "", ""]
    auc = np.mean([day.metrics["auc"] for day in three[1:]])
    assert lines[-1][:4] == ["all", "mean, sum", "continue", f"{auc:.5f}"]
    assert lines[-1][6] == f"{sum(day.rows for day in three):,}"
    with (out / "days.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [float(row["auc"]) for row in found[1:]] == [day.metrics["auc"] for day in three[1:]]
    assert (out / "days.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_done_is_not_repeated_and_other_requests_are_refused(worked, tmp_path, monkeypatch):
    raw, out, two, three, _, _ = worked
    monkeypatch.setattr(days_module, "Workers", InThisProcess)
    before = list(TRAINED)
    assert progress(request_of(raw), MODES[:1], out) == three
    assert progress(request_of(raw[:2]), MODES, out) == two and before == TRAINED
    with pytest.raises(UserError, match="was begun with config.batch_size=50, now 60; choose another --out"):
        progress(request_of(raw, batch_size=60), MODES, out)
    with pytest.raises(UserError, match=r"day 2 was day1.csv, now day2.csv \(or its content changed\); choose another"):
        progress(request_of(raw[::2]), MODES, out)
    with pytest.raises(UserError, match="--days: 1 file; the first day only trains, so at least two are needed"):
        request_of(raw[:1])
    with pytest.raises(UserError, match=r"day0.csv is named twice; name each day once, in order"):
        request_of([*raw, raw[0]])
    clicks = Options(RawFormat("contest", "", click_key=("id",)), request_of(raw).options.inputs)
    with pytest.raises(UserError, match="--dataset=contest: labels are in click logs, which days cannot name"):
        Request(tuple(raw), clicks, 0, {})


def test_a_training_that_fails_ends_in_one_line(worked, tmp_path, monkeypatch):
    raw, _, _, _, _, _ = worked

    class Failing(InThisProcess):
        def start(self, run):
            self._run = run

        def wait(self):
            return self._run, "killed by SIGKILL (out of memory?)"

    monkeypatch.setattr(days_module, "Workers", Failing)
    with pytest.raises(UserError, match=r"^day 1: killed by SIGKILL \(out of memory\?\); see .*train.log"):
        progress(request_of(raw), MODES, tmp_path / "out")
    assert not (tmp_path / "out" / "first" / "day_01" / "trained.json").exists()
