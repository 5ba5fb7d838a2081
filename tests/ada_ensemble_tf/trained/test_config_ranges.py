"""The ranges of config keys."""

import math

import pytest

from ada_ensemble_tf.configs import defaults
from ada_ensemble_tf.configs.models import MODELS
from ada_ensemble_tf.trained.config_ranges import OPTIMIZER_RANGES, OPTIMIZERS, RANGES, check_config, flat
from data_pipelines.errors import UserError

ROWS = "a whole number from 1 to 2147483647"
EPOCHS = "a finite number above 0 and of at most 1e+09"
NOT_NUMBERS = ("name", "plugins", "deterministic", "keep_initial", "catch_up")


@pytest.mark.parametrize("model", sorted(MODELS))
def test_all_defaults_are_in_range_and_all_of_the_trainers_numbers_have_one(model):
    config = defaults.config_for(model).to_dict()
    check_config(config)
    del config["model"]
    for key, value in flat(config).items():
        part, _, argument = key.partition(".")
        known = OPTIMIZER_RANGES if part in OPTIMIZERS else RANGES
        if key.split(".")[-1] not in NOT_NUMBERS:
            name = argument if part in OPTIMIZERS else key
            assert name in known, f"{key}={value}: no range says what it may hold"


@pytest.mark.parametrize(
    "key, value, allowed",
    [
        ("batch_size", 0, ROWS),
        ("batch_size", 2**31, ROWS),
        ("eval_batch_size", -1, ROWS),
        ("max_epochs", math.nan, EPOCHS),
        ("max_epochs", math.inf, EPOCHS),
        ("max_epochs", 0.0, EPOCHS),
        ("seed", -1, "a whole number from 0 to 4294967295"),
        ("seed", 2**32, "a whole number from 0 to 4294967295"),
        ("monitor", "ndcg", "one of 'auc', 'logloss', 'normalized_entropy'"),
        ("patience", 0, "a whole number of at least 1"),
        ("eval_every", 0, "a whole number of at least 1"),
        ("report_every", 0, "a whole number of at least 1"),
        ("profile", -1, "a whole number of at least 0"),
        ("weight_steps", 0, ROWS),
        ("xi", -0.1, "a finite number of at least 0"),
        ("gate_share", 1.0, "a finite number above 0 and below 1"),
        ("gate_share", 0.0, "a finite number above 0 and below 1"),
        ("gate_source", "test", "one of 'train', 'validation'"),
        ("gate_weights", "mean", "one of 'own', 'averaged'"),
        ("embedding_optimizer.learning_rate", -0.1, "a finite number above 0"),
        ("weight_optimizer.learning_rate", 0.0, "a finite number above 0"),
        ("gate_optimizer.learning_rate", math.inf, "a finite number above 0"),
        ("gate_optimizer.global_clipnorm", 0.0, "a finite number above 0 or None"),
        ("weight_optimizer.schedule.warmup_steps", -1, "a whole number of at least 0"),
        ("weight_optimizer.schedule.final", 0.0, "a finite number above 0 and of at most 1"),
        ("max_steps", -1, "a whole number of at least 0"),
        ("average_last", 0, "a whole number of at least 1"),
        ("sharding.tables", "rows", "one of 'replicated', 'columns'"),
        ("ema_momentum", 1.0, "a finite number of at least 0 and below 1"),
        ("embedding_optimizer.l2", -1.0, "a finite number of at least 0"),
        ("model.anneal_epochs", math.nan, "a finite number from 0 to 1e+09"),
    ],
)
def test_a_value_out_of_range_is_one_line_with_key_value_and_range(key, value, allowed):
    config = defaults.config_for("ada_ensemble")
    *path, last = key.split(".")
    place = config
    for name in path:
        place = place[name]
    place[last] = value
    with pytest.raises(UserError) as caught:
        check_config(config.to_dict())
    assert str(caught.value) == f"config.{key} should be {allowed}; got {value!r}"


def test_each_of_several_values_is_checked():
    config = defaults.config_for("hilomoe")
    config.model.stage_epochs = (1.0, -1.0)
    with pytest.raises(UserError, match=r"config.model.stage_epochs\[1\] should be a finite number from 0 to 1e\+09"):
        check_config(config.to_dict())
