"""What trainings whose devices share dense layers refuse, each in one line."""

import types

import pytest

from ada_ensemble_tf.configs.overrides import override
from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.trained.config_ranges import check_config
from ada_ensemble_tf.training.dense_layers import make_dense_sharding, refuse_undividable
from ada_ensemble_tf.updates.stages import Stage
from data_pipelines.errors import UserError
from experiments import sample


def config_of(dense: str = "fsdp", model: str = "dcn_v2", **values):
    config = sample.get_config(model)
    override(config, {"sharding.dense": dense} | values)
    return config


class Devices(Distribution):
    """A distribution that says it has several replicas, all of this process or one of each."""

    def __init__(self, replicas: int, workers: int = 1):
        super().__init__()
        self.replicas, self._local_replicas = replicas, replicas // workers


@pytest.mark.parametrize(
    ("config", "distribution", "message"),
    [
        (config_of(), Distribution(), "dense='fsdp' needs several devices, but there is one"),
        (config_of(**{"sharding.devices_per_host": 3}), Devices(4), "devices_per_host=3 does not divide the 4 devices"),
        (config_of("hsdp"), Devices(4, workers=4), "dense='hsdp' cuts layers among the devices of a host, but a host"),
        (
            config_of(**{"weight_optimizer.name": "group_ftrl"}),
            Devices(2),
            "config.weight_optimizer.name should be one of adam, ftrl, .*; got 'group_ftrl'",
        ),
        (config_of(average_last=3), Devices(2), "does not support config.average_last=3: set it to 1"),
        (config_of(ema_momentum=0.9), Devices(2), "does not support config.ema_momentum=0.9: set it to 0"),
    ],
)
def test_what_sharded_layers_need(config, distribution, message):
    with pytest.raises(UserError, match=f"config.sharding.*{message}"):
        make_dense_sharding(config, distribution)


def test_models_that_train_in_stages_are_refused():
    model = types.SimpleNamespace(stages=lambda: [Stage("first")])
    with pytest.raises(UserError, match="dense='fsdp' does not support models that train in stages, as hilomoe does"):
        refuse_undividable(model, config_of(model="hilomoe"))
    refuse_undividable(model, sample.get_config("hilomoe"))


def test_replicated_layers_are_the_default():
    assert make_dense_sharding(sample.get_config("dcn_v2"), Devices(2)) is None
    with pytest.raises(UserError, match="config.sharding.dense should be one of .*hsdp.*; got 'zero'"):
        check_config(config_of("zero").to_dict())
