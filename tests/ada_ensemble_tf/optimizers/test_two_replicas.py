import os
import subprocess
import sys
from pathlib import Path

from ada_ensemble_tf.optimizers import OPTIMIZERS

SCRIPT = Path(__file__).with_name("two_replicas.py")


def test_two_replicas_are_one_device_with_both_batches_and_exchange_rows_alone():
    finished = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[3])},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    lines = finished.stdout.splitlines()
    plain = [line.split()[0] for line in lines if line.endswith("{'learning_rate': 0.1}")]
    assert sorted([*plain, "adam"]) == sorted(OPTIMIZERS)
    assert sum("clip" in line for line in lines) == 3 and any("catch_up" in line for line in lines)
    assert lines[-1] == "refused"
