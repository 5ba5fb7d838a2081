from pathlib import Path

from command_line import run_forked

from ada_ensemble_tf.optimizers import OPTIMIZERS

SCRIPT = Path(__file__).with_name("two_replicas.py")


def test_two_replicas_are_one_device_with_both_batches_and_exchange_rows_alone():
    lines = run_forked(str(SCRIPT)).splitlines()
    plain = [line.split()[0] for line in lines if line.endswith("{'learning_rate': 0.1}")]
    assert sorted([*plain, "adam"]) == sorted(OPTIMIZERS)
    assert sum("clip" in line for line in lines) == 3 and any("catch_up" in line for line in lines)
    assert lines[-1] == "refused"
