"""From raw rows to scores through the command lines, with an interruption on the way."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from command_line import TINY_MODEL, error_in_process, error_of_forked, run, run_forked, start, start_forked

from ada_ensemble_tf.evaluation import metrics
from data_pipelines.errors import STOPPED

TRAIN = "ada_ensemble_tf.train"


@pytest.fixture(scope="module")
def trained(prepared_criteo, tmp_path_factory) -> Path:
    """A working directory trained without interruption."""
    workdir = tmp_path_factory.mktemp("runs") / "uninterrupted"
    deterministic = [*TINY_MODEL, "--config.deterministic=True"]
    process = start(TRAIN, *deterministic, f"--data_dir={prepared_criteo}", f"--workdir={workdir}")
    _, printed = process.communicate()
    assert process.returncode == 0, printed[-4000:]
    # Its own lines only, and nothing of TensorFlow's.
    lines = re.findall(r"^\d\d:\d\d:\d\d (?:step \d|stopped early|still improving).*\n", printed, re.MULTILINE)
    assert "".join(lines) == printed, repr(printed)
    assert "most of it to build the graph" in lines[0] and " left" not in lines[0]
    return workdir


@pytest.fixture(scope="module")
def exported(trained) -> Path:
    """The SavedModel of `trained`."""
    process = start("ada_ensemble_tf.export", f"--workdir={trained}")
    _, printed = process.communicate()
    assert process.returncode == 0, printed[-4000:]
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in printed.splitlines()), printed
    return trained / "export" / "1"


@pytest.fixture(scope="module")
def raw_columns(criteo_raw_file) -> dict[str, list[str]]:
    """1,000 raw rows by column, with missing, unseen and odd values put in."""
    lines = [line.split("\t") for line in criteo_raw_file.read_text().splitlines()[:1000]]
    for i, odd in enumerate(["", "", "deadbeef", "ünïcode", "x" * 10_000, " "]):
        lines[i][14 + i] = odd
    for i, odd in enumerate(["", "-3", "0", "2", "3", "9223372036854775807", "-9223372036854775808", "0007"]):
        lines[10 + i][1 + i] = odd
    names = ["label", *(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
    return {name: [line[i] for line in lines] for i, name in enumerate(names)}


@pytest.fixture(scope="module")
def predicted(trained, raw_columns, tmp_path_factory) -> np.ndarray:
    """The scores of `predict` for `raw_columns`, with the label column."""
    folder = tmp_path_factory.mktemp("predict")
    rows = zip(*raw_columns.values(), strict=True)
    (folder / "rows.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    run("ada_ensemble_tf.predict", f"--workdir={trained}", f"--raw={folder}/rows.txt", f"--out={folder}/ctr.csv")
    return pl.read_csv(folder / "ctr.csv")["ctr"].to_numpy()


def state(workdir: Path) -> dict[str, np.ndarray]:
    """The content of the last checkpoint, without the stopwatch."""
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints" / "last"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "seconds" not in name and "timed_steps" not in name and "OBJECT_GRAPH" not in name
    }


def test_a_run_that_is_asked_to_end_and_then_killed_ends_bit_equal(trained, prepared_criteo, tmp_path):
    arguments = [*TINY_MODEL, "--config.deterministic=True", f"--data_dir={prepared_criteo}", f"--workdir={tmp_path}"]
    process = start_forked(TRAIN, *arguments)
    deadline = time.monotonic() + 300
    while not (tmp_path / "checkpoints" / "last" / "checkpoint").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.err[-4000:]
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == STOPPED and "stopped: asked to end by SIGTERM" in process.err, process.err[-4000:]
    process = start_forked(TRAIN, *arguments)
    while "resuming at step" not in process.err:
        assert process.poll() is None, "it ended without going on from the checkpoint"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not (tmp_path / "metrics.json").exists()
    run_forked(TRAIN, *arguments)
    one, other = state(trained), state(tmp_path)
    assert one.keys() == other.keys() and len(one) > 60
    different = [name for name in one if not np.array_equal(one[name], other[name])]
    assert different == []
    results = [json.loads((folder / "metrics.json").read_text()) for folder in (trained, tmp_path)]
    assert results[0]["test"] == results[1]["test"] and results[0]["validation"] == results[1]["validation"]


def test_metrics_json_is_complete_and_agrees_with_evaluate(trained):
    results = json.loads((trained / "metrics.json").read_text())
    assert {"auc", "logloss", "normalized_entropy", "calibration", "rows"} <= results["test"].keys()
    assert results["config"]["model"]["experts"] == ["dense", {"name": "cross", "diag_scale": 0.5}]
    assert results["versions"]["tensorflow"] == tf.__version__
    assert results["parameters"] > 1000 and results["flops_per_example"] > 1000
    assert results["expert_correlation"].keys() == {"layer_1", "layer_2", "all"}
    assert 0.0 < results["expert_correlation"]["layer_2"]["squared"] <= 1.0
    evaluated = json.loads(run_forked("ada_ensemble_tf.evaluate", f"--workdir={trained}"))
    assert evaluated == {"test": results["test"], "flops_per_example": results["flops_per_example"]}


def test_tensorboard_files_hold_losses_rates_and_gate_reports(trained):
    tags = {}
    for run_name in ("training", "validation"):
        for file in (trained / "tensorboard" / run_name).iterdir():
            for event in tf.compat.v1.train.summary_iterator(str(file)):
                for value in event.summary.value:
                    tags.setdefault(f"{run_name}:{value.tag}", []).append((event.step, tf.make_ndarray(value.tensor)))
    expected = [
        "loss/loss", "loss/log_loss", "loss/expert_distribution", "loss/depth_distribution", "gate_update/loss",
        "learning_rate/embedding", "learning_rate/weight", "learning_rate/gate", "speed/examples_per_second",
        "layer_1/load/cross", "layer_2/routed/dense", "layer_1/entropy", "layer_1/k", "layer_1/temperature",
        "depth/load/exit_2", "depth/k", "speed/flops_per_example",
    ]  # fmt: skip
    assert [tag for tag in expected if f"training:{tag}" not in tags] == []
    assert len(tags["validation:metrics/auc"]) == len(tags["validation:experts/correlation/layer_2"]) == 3
    # K was annealed from 2 to 1 over the first epoch.
    k = [float(value) for _, value in sorted(tags["training:layer_1/k"], key=lambda point: point[0])]
    assert k[0] > 1.0 and k[-1] == 1.0


def test_running_a_finished_run_again_changes_nothing(trained, prepared_criteo):
    before = (trained / "metrics.json").stat().st_mtime_ns
    arguments = [*TINY_MODEL, "--config.deterministic=True", f"--data_dir={prepared_criteo}", f"--workdir={trained}"]
    assert "metrics.json" in run_forked(TRAIN, *arguments)
    assert (trained / "metrics.json").stat().st_mtime_ns == before


TENSORFLOW_ONLY = """
import json, sys
import numpy as np
import tensorflow as tf
folder, columns_file, out = sys.argv[1:]
columns = json.load(open(columns_file))
sizes = [1, 2, 7, 64, 414, 512]
served = tf.saved_model.load(folder).signatures["serving_default"]
assert sorted(served.structured_input_signature[1]) == sorted(columns)
assert list(served.structured_outputs) == ["ctr"]
scores = {"tf2": [], "tf1": []}
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta = tf.compat.v1.saved_model.load(session, ["serve"], folder)
    signature = meta.signature_def["serving_default"]
    start = 0
    for size in sizes:
        batch = {name: values[start : start + size] for name, values in columns.items()}
        feed = {signature.inputs[name].name: values for name, values in batch.items()}
        scores["tf1"].append(session.run(signature.outputs["ctr"].name, feed))
        start += size
start = 0
for size in sizes:
    batch = {name: tf.constant(values[start : start + size]) for name, values in columns.items()}
    scores["tf2"].append(served(**batch)["ctr"].numpy())
    start += size
assert not any(name.startswith(("ada_ensemble_tf", "data_pipelines")) for name in sys.modules)
np.savez(out, **{name: np.concatenate(parts) for name, parts in scores.items()})
"""


def test_the_saved_model_agrees_with_predict_in_a_process_with_tensorflow_only(
    exported, raw_columns, predicted, tmp_path
):
    columns = {name: values for name, values in raw_columns.items() if name != "label"}
    (tmp_path / "columns.json").write_text(json.dumps(columns))
    command = [
        sys.executable,
        "-I",
        "-c",
        TENSORFLOW_ONLY,
        exported,
        tmp_path / "columns.json",
        tmp_path / "scores.npz",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    scores = np.load(tmp_path / "scores.npz")
    assert predicted.shape == (1000,) and predicted.std() > 0.01
    for name in ("tf1", "tf2"):
        assert scores[name].dtype == np.float32
        np.testing.assert_allclose(scores[name], predicted, atol=1e-5)


def test_predict_without_the_label_column_to_standard_output(trained, raw_columns, predicted, tmp_path):
    rows = zip(*(values for name, values in raw_columns.items() if name != "label"), strict=True)
    (tmp_path / "test.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    raw, out = f"--raw={tmp_path}/test.txt", "--out=/dev/stdout"
    csv = run_forked("ada_ensemble_tf.predict", f"--workdir={trained}", raw, out)
    np.testing.assert_array_equal(pl.read_csv(csv.encode())["ctr"].to_numpy(), predicted)


def test_predictions_give_the_test_metrics(trained, prepared_criteo, criteo_raw_file, tmp_path):
    """The rows of all splits scored from raw text have the metrics that evaluate gives split by split."""
    run_forked(
        "ada_ensemble_tf.predict", f"--workdir={trained}", f"--raw={criteo_raw_file}", f"--out={tmp_path}/ctr.csv"
    )
    ctr = pl.read_csv(tmp_path / "ctr.csv")["ctr"].to_numpy()
    labels = np.array([int(line[0]) for line in criteo_raw_file.read_text().splitlines()])
    splits = [
        json.loads(run_forked("ada_ensemble_tf.evaluate", f"--workdir={trained}", f"--split={split}"))[split]
        for split in ("train", "validation", "test")
    ]
    rows = sum(split["rows"] for split in splits)
    assert rows == len(labels)
    mean = sum(split["logloss"] * split["rows"] for split in splits) / rows
    assert metrics.logloss(labels, ctr) == pytest.approx(mean, abs=1e-6)


def test_export_again_makes_the_next_version(trained, exported):
    run_forked("ada_ensemble_tf.export", f"--workdir={trained}")
    assert sorted(path.name for path in exported.parent.iterdir()) == ["1", "2"]


def test_wrong_use_is_one_clear_error(trained, prepared_criteo, criteo_raw_file, tmp_path):
    data, fresh = f"--data_dir={prepared_criteo}", f"--workdir={tmp_path}/fresh"
    message = error_in_process(TRAIN, *TINY_MODEL, data, fresh, "--config.rate_of_learning=1")
    assert "unknown config key 'rate_of_learning'; nearest: " in message and "learning_rate" in message
    other = ["--config=experiments/sample.py:dnn", "--config.deterministic=True", data, f"--workdir={trained}"]
    message = error_of_forked(TRAIN, *other)
    assert f"{trained}: a training of another model, 'ada_ensemble', not of 'dnn'; choose another" in message
    assert "there is no config for model 'ada'" in error_in_process(
        TRAIN, "--config=experiments/sample.py:ada", data, fresh
    )
    assert "no such directory" in error_in_process(TRAIN, *TINY_MODEL, "--data_dir=/nowhere", fresh)
    assert "config.model.k must lie between 1 and the 2 experts; received 3" in error_in_process(
        TRAIN, *TINY_MODEL, data, fresh, "--config.model.k=3"
    )
    # In a process of its own, because deterministic operations cannot be switched off again.
    assert "trained with config.model.k=1, now 2" in error_of_forked(
        TRAIN, *TINY_MODEL, "--config.deterministic=True", data, f"--workdir={trained}", "--config.model.k=2"
    )
    assert "config.training should be one of 'bilevel', 'joint'; got 'bilvl'" in error_in_process(
        TRAIN, *TINY_MODEL, data, fresh, "--config.training=bilvl"
    )
    assert "annealing ends at step" in error_in_process(TRAIN, *TINY_MODEL, data, fresh, "--config.max_epochs=0.5")
    assert "no trained model here" in error_in_process("ada_ensemble_tf.evaluate", f"--workdir={tmp_path}/none")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "model.json").write_text('{"model": "dnn", "arguments": {"layers": 3}}')
    assert "SHA256SUMS: file not found: an older version made this directory" in error_in_process(
        "ada_ensemble_tf.evaluate", f"--workdir={tmp_path}/old"
    )
    bad = tmp_path / "bad.txt"
    bad.write_text(criteo_raw_file.read_text().splitlines()[0] + "\n1\t2\t3\n")
    message = error_in_process(
        "ada_ensemble_tf.predict", f"--workdir={trained}", f"--raw={bad}", f"--out={tmp_path}/out.csv"
    )
    assert f"{bad}:2" in message
    assert not (tmp_path / "out.csv").exists() and not list(tmp_path.glob("*.incomplete"))


def test_data_prepared_with_another_schema_is_refused(trained, criteo_raw_file, tmp_path):
    other = tmp_path / "other"
    run_forked(
        "data_pipelines.prepare", "--dataset=criteo", f"--raw={criteo_raw_file}", f"--data_dir={other}", "--min_count=5"
    )
    message = error_of_forked("ada_ensemble_tf.evaluate", f"--workdir={trained}", f"--data_dir={other}")
    assert "prepared with another schema" in message
    message = error_of_forked(
        TRAIN, *TINY_MODEL, "--config.deterministic=True", f"--data_dir={other}", f"--workdir={trained}"
    )
    assert "fingerprint" in message


def test_training_stops_at_a_loss_that_is_not_finite_and_says_where(prepared_criteo, tmp_path):
    message = error_of_forked(
        TRAIN, *TINY_MODEL, f"--data_dir={prepared_criteo}", f"--workdir={tmp_path}/run",
        "--config.weight_optimizer.learning_rate=1e30",
    )  # fmt: skip
    # The first update leaves weights of about 1e30, so the second overflows in a layer.
    assert re.search(r"step 2: not finite: weight update: output of layer_[12];", message)
    assert not (tmp_path / "run" / "metrics.json").exists()
