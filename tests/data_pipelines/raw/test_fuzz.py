"""A few lines of what tests/fuzz_raw_logs.py does at length."""

import fuzz_raw_logs
import plain_raw_parser as plain
import pytest


@pytest.mark.parametrize("name", fuzz_raw_logs.FORMATS)
def test_no_mutated_row_is_read_otherwise(tmp_path, name):
    assert fuzz_raw_logs.fuzz(name, 200, 1, tmp_path) == (pytest.approx(200, abs=9), [])


def test_a_reader_that_takes_bad_rows_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(plain.KINDS, "integer", lambda text: text != "7")
    _, wrong = fuzz_raw_logs.fuzz("criteo", 2000, 1, tmp_path)
    assert any("taken, expected" in line or "is not an integer, expected" in line for line in wrong)
