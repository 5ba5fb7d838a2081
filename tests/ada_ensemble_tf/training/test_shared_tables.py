"""What trainings whose devices share tables refuse, each in one line."""

import types

import pytest

from ada_ensemble_tf.configs.overrides import override
from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.trained.config_ranges import check_config
from ada_ensemble_tf.training.shared_tables import make_sharding, refuse_unshardable
from ada_ensemble_tf.updates.stages import Stage
from data_pipelines.errors import UserError
from data_pipelines.read.dataset import open_data
from experiments import sample


def config_of(model: str = "dcn_v2", **values):
    config = sample.get_config(model)
    override(config, {"sharding.tables": "columns"} | values)
    return config


class TwoDevices(Distribution):
    """A distribution that says it has two replicas."""

    def __init__(self):
        super().__init__()
        self.replicas = 2


@pytest.mark.parametrize(
    ("config", "distribution", "message"),
    [
        (config_of(), Distribution(), "needs several devices, but there is one"),
        (
            config_of(**{"embedding_optimizer.name": "adam"}),
            TwoDevices(),
            "config.embedding_optimizer.name should be one of ftrl, grda, group_ftrl, .*; got 'adam'",
        ),
        (config_of(average_last=3), TwoDevices(), "does not support config.average_last=3: set it to 1"),
    ],
)
def test_what_shared_tables_need(prepared_criteo, config, distribution, message):
    with pytest.raises(UserError, match=f"config.sharding.tables='columns' .*{message}"):
        make_sharding(config, open_data(prepared_criteo), distribution)


def test_models_that_train_in_stages_are_refused():
    model = types.SimpleNamespace(stages=lambda: [Stage("first")])
    with pytest.raises(UserError, match="does not support models that train in stages, as hilomoe does"):
        refuse_unshardable(model, config_of("hilomoe"))
    refuse_unshardable(model, sample.get_config("hilomoe"))


def test_replicated_tables_are_the_default(prepared_criteo):
    config = sample.get_config("dcn_v2")
    assert make_sharding(config, open_data(prepared_criteo), TwoDevices()) is None
    config.sharding.collectives = "bfloat16"
    with pytest.raises(UserError, match="config.sharding.collectives='bfloat16' is for tables that devices share"):
        make_sharding(config, open_data(prepared_criteo), TwoDevices())
    with pytest.raises(UserError, match="config.sharding.tables should be one of .*columns.*; got 'rows'"):
        check_config(config_of(**{"sharding.tables": "rows"}).to_dict())
