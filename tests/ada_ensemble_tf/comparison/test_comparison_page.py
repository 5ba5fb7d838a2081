"""The page of a comparison whose runs are made up."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from html_reading import Reading
from made_up_results import made_up_results
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.record_writer import RecordWriter
from tick_labels import colliding

from ada_ensemble_tf.comparison.arrays import save_array
from ada_ensemble_tf.comparison.critical_difference import critical_difference_figure
from ada_ensemble_tf.comparison.model_metrics import model_metrics_figure
from ada_ensemble_tf.comparison.page import comparison_page, table_of
from ada_ensemble_tf.comparison.run_curves import (
    learning_curves_figure,
    reliability_grid,
    time_figure,
    validation_curves,
)
from ada_ensemble_tf.comparison.run_sections import runs_section
from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.intervals import Interval
from ada_ensemble_tf.reporting.learning_curves import Curve
from ada_ensemble_tf.reporting.page import Page
from ada_ensemble_tf.reporting.reliability import reliability_bins
from ada_ensemble_tf.trained.run_files import CONFIG_FILE
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.schema import Field, Schema
from data_pipelines.json_files import save_json

SCHEMA = Schema(
    RawFormat("tabular", "liked", delimiter=",", has_header=True, positive=("yes",)), (Field("a", "text", 2, 0),)
)


def write_events(folder):
    """What a training of two minutes with two evaluations left for TensorBoard."""
    for run, scalars in (("training", {}), ("validation", {"metrics/auc": (0.5, 0.6), "metrics/logloss": (0.7, 0.6)})):
        (folder / run).mkdir(parents=True)
        events = [Event(wall_time=1e9), Event(wall_time=1e9 + 120)]
        for tag, values in scalars.items():
            for step, value in zip((10, 20), values, strict=True):
                events.append(Event(wall_time=1e9 + step, step=step, summary=scalar_pb(tag, value)))
        with open(folder / run / "events.out.tfevents.1.host", "wb") as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())
            writer.flush()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Two seeds of "good", "twin" and "bad" (which is also mis-calibrated), and an unfinished run."""
    out = tmp_path_factory.mktemp("compare")
    rng = np.random.default_rng(7)
    p = rng.beta(2, 5, 3000)
    labels = (rng.random(3000) < p).astype(np.uint8)
    save_array(out / "test_labels.npy", labels)
    for label, noise, factor in (("good", 0.02, 1.0), ("twin", 0.02, 1.0), ("bad", 1.5, 0.5), ("late", 0.0, 1.0)):
        for seed in range(2):
            folder = out / label / f"seed_{seed}"
            folder.mkdir(parents=True)
            config = {"seed": seed, "model": {"name": "dnn", "label": label}, "eval_batch_size": 100}
            save_json(folder / CONFIG_FILE, config)
            SCHEMA.save(folder / "schema.json")
            save_json(folder / "data.json", {"data_dir": "data", "fingerprint": "0123"})
            if label == "late":
                continue
            logit = np.log(p / (1 - p)) + rng.normal(0, noise, 3000)
            scores = (factor / (1.0 + np.exp(-logit))).astype(np.float32)
            save_array(folder / "test_probabilities.npy", scores)
            result = {"test": metrics.all_metrics(labels, scores), "parameters": 1000, "examples_per_second": 5.0}
            result |= {"flops_per_example": 2e4 + len(label), "best_step": 7, "versions": {"python": "3"}}
            save_json(folder / "metrics.json", made_up_results(**result))
            save_json(folder / "run.json", {"jobs": 1})
            write_events(folder / "tensorboard")
    (out / "good" / "seed_1" / "report.html").write_text("a report")
    (out / "table.md").write_text("- command: ada-ensemble compare --models=x\n- versions: 1\n\n| a |\n")
    return out


@pytest.fixture(scope="module")
def text(out) -> str:
    return comparison_page(table_of(out)).html()


def test_the_page_tells_what_table_md_tells(out, text):
    table, reading = table_of(out), Reading(text)
    assert reading.texts["h2"] == [
        "Findings", "Table", "AUC, LogLoss and calibration", "Critical differences", "Reliability", "Learning curves",
        "Time", "FLOPs against AUC", "Runs",
    ]  # fmt: skip
    for row in table.rows():
        if "auc_mean" in row:
            assert f"{row['auc_mean']:.5f} ± {row['auc_std']:.5f}" in reading.texts["td"]
    assert "data: fingerprint 0123" in text and len(reading.ids) == len(set(reading.ids))
    within = {address.removeprefix("#") for address in reading.addresses} - {"good/seed_1/report.html"}
    assert within <= set(reading.ids)
    positives = int(np.load(out / "test_labels.npy").sum())
    assert f"3,000 test rows, of which {positives} have liked = yes: {positives / 30:.2f} %" in text
    assert reading.texts["pre"] == ["ada-ensemble compare --models=x"] and "click" not in text.lower()


def test_runs_have_their_time_and_a_link_to_their_report(out, text, tmp_path):
    reading = Reading(text)
    assert reading.texts["a"].count("report") == 1 and "good/seed_1/report.html" in reading.addresses
    assert reading.texts["td"].count("2 min 00 s") == 6
    page, runs = Page("t", "s"), {("good", run.seed): run for run in table_of(out).runs if run.label == "good"}
    runs_section(page, ["good"], runs, tmp_path / "pages" / "c.html")
    assert os.path.relpath(out / "good/seed_1/report.html", tmp_path / "pages") in Reading(page.html()).addresses


def test_charts_show_the_curves_times_and_reliability_of_each_model(out):
    curves = {label: [validation_curves(out / label / "seed_0")] for label in ("good", "bad")}
    losses, aucs = learning_curves_figure(curves).axes
    assert [line.get_ydata().tolist() for line in aucs.lines] == [pytest.approx([0.5, 0.6])] * 2
    assert losses.lines[0].get_xdata().tolist() == [10, 20]
    times, rates = time_figure({"good": [1.0, 3.0], "bad": []}, {"good": [10.0], "bad": [30.0]}).axes
    assert [bar.get_width() for bar in times.patches] == [2.0] and [b.get_width() for b in rates.patches] == [10, 30]
    bins = reliability_bins(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.6, 0.4]), bins=2)
    shown = [axes for axes in reliability_grid({f"m{i}": [bins] for i in range(5)}).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == [f"m{i}" for i in range(5)]
    assert shown[0].lines[1].get_ydata().tolist() == [0.0, 1.0]


def test_labels_of_ticks_keep_apart():
    steps = np.linspace(1e5, 2e6, 9)
    curve = {"metrics/auc": Curve(steps, steps / 1e7 + 0.7), "metrics/logloss": Curve(steps, 0.3 + steps / 1e9)}
    names = [f"a_rather_long_name_{i}" for i in range(9)]
    values = {name: [Interval(0.9461 + 1e-4 * i, 0.94, 0.95)] for i, name in enumerate(names)}
    bins = reliability_bins(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.6, 0.4]), bins=2)
    worse = dict.fromkeys(itertools.combinations(reversed(names), 2), True)
    figures = [
        learning_curves_figure({name: [curve] for name in names}),
        time_figure({name: [123.4] for name in names}, {name: [1.2e6] for name in names}),
        model_metrics_figure({"AUC": values, "LogLoss": values, "Calibration": values}),
        reliability_grid({name: [bins] for name in names}),
        critical_difference_figure({name: one[0].value for name, one in values.items()}, worse),
    ]
    assert [colliding(figure) for figure in figures] == [[]] * 5


def test_leaders_calibration_and_missing_runs_are_findings(text):
    good, worse, undone, off = Reading(text).texts["li"]
    names = sorted(["good", "twin"])
    assert any(f"{a} leads: AUC 0." in good and f"from it on these test rows and seeds: {b} (AUC 0." in good
               for a, b in (names, names[::-1]))  # fmt: skip
    assert (
        worse == ": Worse by AUC beyond noise: bad."
        and undone == ": Not done: late, seed 0; late, seed 1."
        and "bad (0." in off
        and "good" not in off
    )


def test_a_directory_without_a_comparison_is_refused(tmp_path):
    with pytest.raises(UserError, match="no finished run of a comparison here"):
        table_of(tmp_path)


def test_one_model_alone_has_no_differences(out, tmp_path):
    (tmp_path / "good").symlink_to(out / "good")
    save_array(tmp_path / "test_labels.npy", np.load(out / "test_labels.npy"))
    reading = Reading(comparison_page(table_of(tmp_path)).html())
    assert "Critical differences" not in reading.texts["h2"] and len(reading.texts["h2"]) == 8
    assert "is alone here: AUC 0." in reading.texts["li"][0]


def test_tensorflow_is_not_imported():
    code = (
        "import sys, ada_ensemble_tf.report, ada_ensemble_tf.comparison.comparing, ada_ensemble_tf.reporting.run_page"
    )
    done = subprocess.run([sys.executable, "-c", code + "; print('tensorflow' in sys.modules)"], capture_output=True)
    assert done.stdout.decode().strip() == "False", done.stderr.decode()[-2000:]
