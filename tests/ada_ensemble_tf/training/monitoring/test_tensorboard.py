"""What the event files of a training hold, and how Custom Scalars lay them out."""

import re

import numpy as np
import pytest
import tensorflow as tf
from event_files import read_events
from prepared_rows import write_rows
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.models import DNN, HiLoMoE
from ada_ensemble_tf.training.hooks import Hook
from ada_ensemble_tf.training.loop import TrainingLoop
from ada_ensemble_tf.training.monitoring.layout import dashboard_layout
from ada_ensemble_tf.training.setup import build_model, compile_model, seed_everything

SMALL = {
    "dimension": 2, "num_layers": 2, "experts": ("dense", "cross"), "k": 1, "anneal_epochs": 0.2,
    "expert_prior": (0.5, 0.5), "depth_prior": (0.5, 0.5),
}  # fmt: skip


class StopsSoFar(Hook):
    """A user's hook with saved state and a figure for TensorBoard."""

    def __init__(self):
        self.stops = tf.Variable(0, name="stops_so_far")
        self.state = (self.stops,)
        self.called = []

    def begin(self, loop):
        self.called.append(("begin", loop.step))

    def after_steps(self, steps):
        self.called.append(("after_steps", steps.step))

    def at_stop(self, stop):
        self.stops.assign_add(1)
        stop.figures["mine/stops"] = float(self.stops)
        # It sees the figures of earlier hooks: the project's hooks come before a user's.
        assert 0.0 <= stop.figures["auc"] <= 1.0 and len(stop.labels) == len(stop.probabilities) == 200
        self.called.append(("at_stop", stop.step))

    def enough(self):
        return int(self.stops) == 2

    def end(self):
        self.called.append(("end", None))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(events by run, model, rows by split, hook, folder) of a short bi-level training with a user's hook."""
    folder = tmp_path_factory.mktemp("tensorboard")
    data, rows = write_rows(folder, {"train": 640, "validation": 200, "test": 100}, files=2)
    config = config_for("ada_ensemble")
    config.update({"batch_size": 32, "eval_batch_size": 64, "max_epochs": 1.0, "eval_every": 8, "report_every": 4})
    config.model.update(SMALL)
    seed_everything(3, deterministic=False)
    model = build_model(config, data)
    compile_model(model, config)
    hook = StopsSoFar()
    TrainingLoop(model, data, config, folder / "run", hooks=[hook]).run()
    events = {run: read_events(folder / "run" / "tensorboard" / run) for run in ("training", "validation")}
    return events, model, rows, hook, folder / "run"


def values(points) -> list[float]:
    return [float(point.value) for point in points]


def test_a_user_hook_sees_all_events_can_end_training_and_keeps_its_state(trained):
    events, _, _, hook, folder = trained
    points = events["validation"]["mine/stops"]
    assert [(point.step, float(point.value)) for point in points] == [(8, 1.0), (16, 2.0)]
    reports = [("after_steps", step) for step in (4, 8, 12, 16)]
    expected = [("begin", 0), *reports[:2], ("at_stop", 8), *reports[2:], ("at_stop", 16), ("end", None)]
    assert hook.called == expected
    saved = tf.train.load_checkpoint(str(folder / "checkpoints" / "last"))
    (name,) = (name for name in saved.get_variable_to_shape_map() if "stops_so_far" in name)
    assert saved.get_tensor(name) == 2


def test_waiting_for_rows_is_reported_as_a_share_of_time(trained):
    waits = values(trained[0]["training"]["input/wait"])
    assert len(waits) > 2 and all(0.0 < wait < 1.0 for wait in waits)


def test_out_of_vocabulary_shares_match_the_rows(trained):
    events, _, rows, *_ = trained
    # The first id of a field is its unknown value; the columns are row, price, three of genres, and age.
    unknown = np.array([0, 940, 943, 943, 943, 946])
    ids = rows["validation"]["ids"]
    genres = ids[:, 2:5][ids[:, 2:5] >= 0]
    points = {
        name: events["validation"][f"input/out_of_vocabulary/{name}"] for name in ("row", "price", "genres", "all")
    }
    assert [point.step for point in points["all"]] == [point.step for point in events["validation"]["metrics/auc"]]
    assert values(points["row"])[0] == 0.0
    assert values(points["price"])[0] == pytest.approx(np.mean(ids[:, 1] == 940))
    assert values(points["genres"])[0] == pytest.approx(np.mean(genres == 943))
    assert values(points["all"])[0] == pytest.approx((ids == unknown).sum() / (ids >= 0).sum())
    train = rows["train"]["ids"]
    share = (train == unknown).sum() / (train >= 0).sum()
    # Batches differ in padding, and a share of the rows goes to the gates.
    assert np.mean(values(events["training"]["input/out_of_vocabulary/all"])) == pytest.approx(share, rel=0.05)


def test_embeddings_and_dead_experts_are_written_at_each_evaluation(trained):
    events, model, *_ = trained
    validation = events["validation"]
    norms = np.linalg.norm(model.embedding.table.numpy(), axis=1)
    # Training ends with the weights of its best evaluation.
    assert any(one == pytest.approx(norms.mean(), rel=1e-5) for one in values(validation["embeddings/norm/embedding"]))
    count = len(validation["metrics/auc"])
    assert len(validation["embeddings/zero_rows/embedding"]) == len(validation["layer_1/dead_experts"]) == count
    assert len(events["training"]["layer_1/dead_experts"]) == len(events["training"]["loss/loss"])
    for tag in ("calibration/reliability", "experts/alluvial"):
        assert [point.plugin for point in validation[tag]] == ["images"] * count
        width, height, png = validation[tag][-1].value
        assert tf.io.decode_png(png).shape[:2] == (int(height), int(width))


def test_every_chart_of_the_layout_has_lines(trained):
    events, model, *_ = trained
    (point,) = events["training"]["custom_scalars__config__"]
    layout = Layout.FromString(point.value.item())
    assert point.plugin == "custom_scalars" and layout == dashboard_layout(model)
    tags = [tag for run in events.values() for tag in run]
    titles = [category.title for category in layout.category]
    assert titles == [
        "Quality", "Losses", "Gate update", "Experts: layer_1 to layer_2", "Experts", "Exits", "Cost and speed",
        "Embeddings", "Input",
    ]  # fmt: skip
    lines = {
        chart.title: [tag for tag in tags if re.match(chart.multiline.tag[0], tag)]
        for category in layout.category
        for chart in category.chart
    }
    assert [title for title, found in lines.items() if not found] == []
    assert set(lines["layer_1: share of rows by expert"]) == {"layer_1/load/dense", "layer_1/load/cross"}
    assert set(lines["Share of rows by exit"]) == {"depth/load/exit_1", "depth/load/exit_2"}
    assert lines["Whole loss"] == ["loss/loss"] and "loss/loss" not in lines["Terms of the loss"]


def test_tensorboard_opens_on_the_figures_to_watch_and_has_the_config_as_text(trained):
    events = trained[0]
    groups = sorted({tag.partition("/")[0] for run in events.values() for tag in run if "/" in tag})
    assert groups[0] == "Overview"
    training, validation = events["training"], events["validation"]
    both = {"AUC, validation": "auc", "LogLoss": "logloss", "calibration, validation": "calibration"}
    for mine, theirs in both.items():
        assert values(validation[f"Overview/{mine}"]) == values(validation[f"metrics/{theirs}"])
    assert values(training["Overview/LogLoss"]) == values(training["loss/log_loss"])
    (point,) = training["config"]
    text = point.value.item().decode()
    assert point.plugin == "text" and "| eval_every | `8` | `2000` |" in text.partition("### All keys")[0]
    assert '| model.experts | `["dense", "cross"]` |' in text.partition("### All keys")[2]


def test_other_models_have_the_categories_that_apply_and_a_title_stands_for_the_same_charts():
    dnn = dashboard_layout(DNN(num_rows=9, num_fields=2, dimension=2, hidden_units=(3,)))
    charts = {category.title: [chart.title for chart in category.chart] for category in dnn.category}
    assert list(charts) == ["Quality", "Losses", "Cost and speed", "Embeddings", "Input"] and all(charts.values())
    model = HiLoMoE(
        num_rows=9, num_fields=2, dimension=2, hidden_units=(3,), num_layers=1, rank_experts=2, query_rank=2
    )
    hilomoe = dashboard_layout(model)
    others = {category.title: [chart.title for chart in category.chart] for category in hilomoe.category}
    assert {"Gate update", "Stages", "Experts: layer_1/level_1", "Experts"} >= others.keys() - charts.keys()
    assert all(others[title] == charts[title] for title in charts)
    assert any(place in others["Experts: layer_1/level_1"][0] for place in model.choice_names())
