"""Slots in the memory of the machine, and the table on another device."""

import json

import keras
import pytest
import tensorflow as tf
from command_line import error_in_process, run_forked

from ada_ensemble_tf.optimizers import make_optimizer


@pytest.mark.parametrize("name", ["group_ftrl", "sparse_adam"])
def test_slots_are_on_the_host_and_updates_are_the_same(name):
    found = json.loads(run_forked("tests/host_slots_run.py", name).splitlines()[-1])
    assert found["host"]["values"] == found["device"]["values"]
    assert found["host"]["table"].endswith("CPU:1") and found["device"]["table"].endswith("CPU:1")
    assert [device[-5:] for device in found["device"]["slots"]] == ["CPU:1"]
    assert [device[-5:] for device in found["host"]["slots"]] == ["CPU:0"]


def test_the_place_is_kept_and_wrong_ones_are_refused(prepared_criteo):
    optimizer = make_optimizer("sparse_adagrad", slots_on="host")
    assert type(optimizer).from_config(optimizer.get_config()).slots_on == "host"
    with pytest.raises(ValueError, match="slots_on must be one of device, host; received 'disk'"):
        make_optimizer("sparse_adagrad", slots_on="disk")
    with pytest.raises(ValueError, match="slots_on='host': optimizer 'adam' keeps slots on the device"):
        make_optimizer("adam", slots_on="host")
    arguments = ["--config=experiments/sample.py:dcn_v2", "--config.embedding_optimizer.slots_on=host"]
    error = error_in_process("ada_ensemble_tf.plan", *arguments, f"--data_dir={prepared_criteo}", "--devices=2")
    assert "slots_on='host' is for one device" in error


def test_several_replicas_are_refused():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    table = keras.Variable(tf.zeros([3, 2]))
    optimizer = make_optimizer("sparse_adam", slots_on="host")
    with pytest.MonkeyPatch.context() as patch, strategy.scope():
        patch.setattr(type(strategy), "num_replicas_in_sync", 2)
        with pytest.raises(ValueError, match="slots_on='host' is for one device"):
            optimizer.build([table])
