"""Fixtures of the doctor's tests."""

import shutil

import pytest
from doctor_tables import made_up, prepare


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """A healthy prepared directory; read only."""
    return prepare(tmp_path_factory.mktemp("healthy"), made_up())


@pytest.fixture
def data_dir(healthy, tmp_path):
    """A copy of it to spoil."""
    return shutil.copytree(healthy, tmp_path / "d")
