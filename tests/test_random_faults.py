"""A few of the faults that `random_faults.py` makes by the hundred."""

import random_faults


def test_no_fault_is_silent(tmp_path):
    assert random_faults.run(faults=30, seed=1, folder=tmp_path) == []
