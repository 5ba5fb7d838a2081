"""Days of a log that extend one another, and a training on the first."""

import logging

import pytest
from daily_rows import prepare_days
from daily_training import config_of, train_in
from tensorflow.python.framework.config import disable_op_determinism


@pytest.fixture(scope="session")
def days(tmp_path_factory):
    return prepare_days(tmp_path_factory.mktemp("days"))


@pytest.fixture(autouse=True)
def deterministic_ops():
    yield
    disable_op_determinism()


@pytest.fixture(scope="session")
def first(days, tmp_path_factory):
    """DeepFM trained on the first day."""
    workdir = tmp_path_factory.mktemp("first") / "run"
    train_in(workdir, config_of(), days[0])
    disable_op_determinism()
    return workdir


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO, "ada_ensemble_tf")
    return lambda: [record.getMessage() for record in caplog.records]
