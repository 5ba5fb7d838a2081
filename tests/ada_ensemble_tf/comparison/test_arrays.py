"""Labels and probabilities of a comparison: damage and other content are told."""

import io

import numpy as np
import pytest

from ada_ensemble_tf.comparison.arrays import load_array, save_array
from ada_ensemble_tf.comparison.runs import PROBABILITIES
from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError


def test_arrays_of_a_comparison(tmp_path):
    file = tmp_path / PROBABILITIES
    again = f"delete {tmp_path} to train it again"
    save_array(file, np.array([0.1, 0.9], np.float32))
    assert load_array(file, 2).tolist() == np.array([0.1, 0.9], np.float32).tolist()
    with pytest.raises(UserError, match=f"^{file}: expected 3 finite numbers, got float32 of shape \\(2,\\); {again}$"):
        load_array(file, 3)
    good = file.read_bytes()
    file.write_bytes(good[:-1] + b"\x00")
    with pytest.raises(UserError, match=f"^{file}: damaged: .*; {again}$"):
        load_array(file)
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"
    pickled = io.BytesIO()
    np.save(pickled, np.array([print], object))
    for content in (b"", good[:20], good[:-2], header.ljust(127) + b"\n", pickled.getvalue()):
        Checksums(tmp_path).write({file.name: content})
        with pytest.raises(UserError, match=f"^{file}: no array of numbers .*; {again}$"):
            load_array(file)
    for array in (np.array([0.5, np.nan]), np.zeros((2, 2)), np.array(["a", "b"])):
        save_array(file, array)
        with pytest.raises(UserError, match=f"^{file}: "):
            load_array(file)
