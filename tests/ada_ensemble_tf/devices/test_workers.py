"""Training on two workers and on two devices compared with one process."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from command_line import run_forked
from forked_commands import PopenFromServer
from prepared_rows import write_rows

from ada_ensemble_tf.configs.overrides import override
from ada_ensemble_tf.layers.normalization import RoutedBatchNormalization
from ada_ensemble_tf.training.run import train
from data_pipelines.checksums import Checksums
from data_pipelines.errors import STOPPED
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import METADATA
from experiments import sample
from experiments.measuring import worker_processes
from experiments.measuring.worker_processes import (
    end,
    finish,
    log_of,
    reported,
    start,
    train_with_a_loss,
    worst_difference,
)

COMMON = {"batch_size": 128, "report_every": 4, "patience": 1000, "eval_batch_size": 100, "model.dimension": 2}
ADA_ENSEMBLE = COMMON | {
    "model.num_layers": 2,
    "model.depth_prior": (0.5, 0.5),
    "model.experts": ("dense", "cross"),
    "model.expert_prior": (0.5, 0.5),
    "model.k": 1,
    "model.depth_objective": "compared",
    "model.z_weight": 0.01,
    "model.decorrelation_weight": 0.01,
    # Replicas draw different noise from one process.
    "model.gate.noise": 0.0,
}
WITHOUT_GATES = COMMON | {"model.hidden_units": (8,)}
TO_STEP = {32: 2.1, 64: 4.2, 80: 5.3, 160: 10.6}
"""Almost whole epochs of 15 weight updates that end on an evaluation; evaluations are 16 updates apart."""


def config_of(model: str, options: dict, epochs: float):
    """The config of the command line with these options."""
    config = sample.get_config(model)
    override(config, options | {"max_epochs": epochs})
    return config


def arguments_of(model: str, options: dict, epochs: float, data_dir: Path) -> list[str]:
    """The same as arguments of the command."""
    keys = [f"--config.{key}={value}" for key, value in (options | {"max_epochs": epochs}).items()]
    return [f"--config=experiments/sample.py:{model}", *keys, f"--data_dir={data_dir}"]


def same_reports(one: Path, other: Path, last_step: int) -> None:
    """Checks that all figures in TensorBoard up to a step agree to 1e-5, relative for those above 1."""
    # With few rows AUC jumps if two nearly equal predictions change places.
    aucs = ("metrics/auc", "Overview/AUC, validation")
    expected = {k: v for k, v in reported(one).items() if k[1] <= last_step and k[0] not in aucs}
    found = {k: v for k, v in reported(other).items() if k[0] not in aucs}
    assert expected.keys() == found.keys() and len(expected) > last_step / 4
    worst = max(expected, key=lambda key: abs(expected[key] - found[key]) / max(1.0, abs(expected[key])))
    assert found[worst] == pytest.approx(expected[worst], rel=1e-5, abs=1e-5), worst


@pytest.fixture(scope="module", autouse=True)
def forked_workers():
    """Workers are forked from a process that has loaded TensorFlow; one that starts itself anew is not."""
    subprocesses = SimpleNamespace(Popen=PopenFromServer, STDOUT=subprocess.STDOUT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_processes, "subprocess", subprocesses)
        yield


@pytest.fixture(scope="module")
def alone(prepared_criteo, tmp_path_factory) -> Path:
    """A training of AdaEnsemble in one process."""
    workdir = tmp_path_factory.mktemp("runs") / "alone"
    keras.utils.clear_session()  # Names of variables as in a new process.
    train(config_of("ada_ensemble", ADA_ENSEMBLE, TO_STEP[80]), open_data(prepared_criteo), workdir)
    return workdir


def on_two_devices(*arguments: str | Path) -> None:
    """Runs `tests/mirrored_run.py`."""
    run_forked("tests/mirrored_run.py", *map(str, arguments))


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory) -> dict[str, np.ndarray]:
    """The results that two replicas compute together from some rows."""
    out = tmp_path_factory.mktemp("exchanged") / "out.npz"
    on_two_devices(out)
    return dict(np.load(out))


def test_the_number_of_workers_changes_no_result(alone, prepared_criteo, tmp_path):
    """Two workers, then one process from their checkpoint."""
    workdir = tmp_path / "two"
    finish(start(arguments_of("ada_ensemble", ADA_ENSEMBLE, TO_STEP[64], prepared_criteo), workdir, 2), workdir)
    same_reports(alone, workdir, 64)
    keras.utils.clear_session()  # Names of variables as in a new process.
    train(config_of("ada_ensemble", ADA_ENSEMBLE, TO_STEP[80]), open_data(prepared_criteo), workdir)
    same_reports(alone, workdir, 80)
    assert worst_difference(alone, workdir) < 1e-5


@pytest.fixture(scope="module")
def several_values(tmp_path_factory) -> Path:
    """Prepared rows with a multi-valued field, so that workers look up different numbers of rows."""
    path = tmp_path_factory.mktemp("several_values")
    # Values in the thousands, whose squares are summed, would amplify the rounding of sums in another order.
    data, _ = write_rows(path, {"train": 1920, "validation": 130, "test": 101}, files=2, value_scale=1e-3)
    # The texts behind the ids: training reads none, but a directory is complete only with their files.
    Checksums(path).write(dict.fromkeys(data.schema.vocabulary_files.values(), b""))
    Checksums(path).add(METADATA)
    data.schema.save(path / "schema.json")
    data.preparation.save(path)
    return path


def test_only_the_chief_writes_when_two_workers_train_a_model_without_gates(several_values, tmp_path):
    options, both = WITHOUT_GATES | {"profile": 2}, (tmp_path / "one", tmp_path / "two")
    keras.utils.clear_session()
    train(config_of("dcn_v2", options, TO_STEP[32]), open_data(several_values), tmp_path / "one")
    processes = start(arguments_of("dcn_v2", options, TO_STEP[32], several_values), tmp_path / "two", 2)
    finish(processes, tmp_path / "two")
    same_reports(*both, 32)
    assert worst_difference(*both) < 1e-5
    one, two = ({path.name for path in workdir.iterdir()} for workdir in both)
    assert one == two
    events = [path.name for path in (tmp_path / "two").rglob("*tfevents*")]
    assert len(events) == 2 and all(f".{processes[0].pid}." in name for name in events)
    profiles = [list(workdir.glob("tensorboard/plugins/profile/*/*.xplane.pb")) for workdir in both]
    assert [len(files) for files in profiles] == [1, 1]


def test_killing_a_worker_changes_no_result(several_values, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    keras.utils.clear_session()
    train(config_of("dcn_v2", WITHOUT_GATES, TO_STEP[160]), open_data(several_values), one)
    train_with_a_loss(arguments_of("dcn_v2", WITHOUT_GATES, TO_STEP[160], several_values), two, killed=1)
    assert "lost another worker" in (tmp_path / "two.worker_0.log").read_text()
    assert "resuming at step" in (tmp_path / "two.worker_1.log").read_text()
    same_reports(one, two, 160)
    assert worst_difference(one, two) < 1e-5


def test_both_workers_stop_after_the_same_step_when_one_is_asked_to_end(several_values, tmp_path):
    workdir = tmp_path / "asked"
    processes = start(arguments_of("dcn_v2", WITHOUT_GATES, 100_000.0, several_values), workdir, 2)
    try:
        while not (workdir / "checkpoints" / "last" / "checkpoint").exists():
            assert all(process.poll() is None for process in processes)
            time.sleep(0.05)
        processes[1].send_signal(signal.SIGTERM)
        assert [process.wait(300) for process in processes] == [STOPPED, STOPPED]
    finally:
        end(processes)
    logs = [log_of(workdir, worker).read_text() for worker in (0, 1)]
    (chief,), (asked,) = (re.findall(r"stopped: asked to end by (.*) after step (\d+) of", log) for log in logs)
    assert (chief[0], asked[0]) == ("another worker", "SIGTERM") and chief[1] == asked[1]
    assert tf.train.latest_checkpoint(workdir / "checkpoints" / "last").endswith(f"ckpt-{chief[1]}")
    assert not (workdir / "metrics.json").exists()


def test_two_devices_train_as_one(alone, prepared_criteo, tmp_path):
    options = ADA_ENSEMBLE | {"strategy": "mirrored"}
    on_two_devices(*arguments_of("ada_ensemble", options, TO_STEP[32], prepared_criteo), f"--workdir={tmp_path}")
    same_reports(alone, tmp_path, 32)
    config = json.loads((tmp_path / "metrics.json").read_text())["config"]
    assert config["strategy"] == "mirrored" and config["batch_size"] == 128


def test_normalisation_is_over_the_rows_of_all_replicas(exchanged):
    rows, layer = tf.constant(exchanged["rows"]), RoutedBatchNormalization()
    with tf.GradientTape() as tape:
        tape.watch(rows)
        y = layer(rows, training=True)
        # Each replica has half of the same loss.
        loss = tf.reduce_sum(y**3) ** 2
    np.testing.assert_allclose(np.concatenate([exchanged["y_0"], exchanged["y_1"]]), y, atol=1e-5)
    gradient = np.concatenate([exchanged["gradient_0"], exchanged["gradient_1"]])
    np.testing.assert_allclose(gradient, tape.gradient(loss, rows), rtol=1e-3, atol=1e-3)
    for replica in (0, 1):
        np.testing.assert_array_equal(exchanged[f"rows_of_all_{replica}"], [2, 7])
        np.testing.assert_array_equal(
            exchanged[f"smallest_{replica}"], np.minimum(exchanged["rows"][0], exchanged["rows"][2])
        )
        np.testing.assert_allclose(exchanged["mean"][replica], 0.1 * exchanged["rows"].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(exchanged["variance"][replica], 0.9 + 0.1 * exchanged["rows"].var(axis=0), rtol=1e-5)


def test_replicas_draw_different_noise_and_the_first_draws_that_of_one_process(exchanged):
    assert 0.1 < np.mean(exchanged["noise_0"] != exchanged["noise_1"]) < 0.9
    one = keras.layers.Dropout(0.5, seed=3)
    np.testing.assert_array_equal(exchanged["noise_0"], one(tf.ones([64, 1]), training=True))
    np.testing.assert_array_equal(exchanged["seeds"][0], one.seed_generator.state)
    assert exchanged["seeds"][1][0] != exchanged["seeds"][0][0] and exchanged["seeds"][1][1] == exchanged["seeds"][0][1]
