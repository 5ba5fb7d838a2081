"""Trainings on the days of `daily_rows`, and what they leave."""

import keras
import numpy as np

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.trained.checkpoint import SavedValues
from ada_ensemble_tf.training.beginnings import beginning
from ada_ensemble_tf.training.loop import TrainingLoop
from ada_ensemble_tf.training.run import train
from ada_ensemble_tf.training.setup import build_model, compile_model, model_from, seed_everything
from ada_ensemble_tf.training.vectors import start_from_vectors

DURATIONS = ("seconds", "timed_steps")


def config_of(model="deepfm", **more):
    """A config of ten small steps."""
    config = config_for(model)
    config.update({"batch_size": 42, "eval_batch_size": 256, "eval_every": 5, "patience": 100, "max_steps": 10})
    config.update({"deterministic": True, "weight_steps": 2, "average_last": 2, **more})
    config.model.dimension = 2
    if model == "ada_ensemble":
        config.model.update({"num_layers": 1, "experts": ("cross", "identity"), "k": 1, "anneal_epochs": 0.6})
        config.model.gate.name = "gumbel_top_k"
    if model == "deepfm":
        config.model.update({"hidden_units": (4,), "dropout": 0.2})
        config.embedding_optimizer = {"name": "sparse_adam", "learning_rate": 0.01, "catch_up": True}
    return config


def train_in(workdir, config, data, **start):
    """The results of a training that begins with no layer names in use."""
    keras.utils.clear_session()
    return train(config, data, workdir, **start)


def loop_of(workdir, config, data, before=None, warm=None):
    """A training loop before its first step."""
    keras.utils.clear_session()
    seed_everything(config.seed, deterministic=True)
    begin = beginning(workdir, config, data, before, warm)
    model = build_model(config, data) if begin.arguments is None else model_from(begin.arguments, config.model.name)
    start_from_vectors(model, data)
    compile_model(model, config)
    return TrainingLoop(model, data, config, workdir, beginning=begin)


def saved(workdir, kind="last"):
    """The values of a checkpoint by name, without those that a clock sets."""
    values = SavedValues(workdir / "checkpoints" / kind)
    names = [name for name in values.names if not any(part in name for part in DURATIONS)]
    return {name: values.value(name) for name in names}


def levels_of(vocabularies):
    """(field, level) of each row of a table; the level of a field's first row is None."""
    fields = vocabularies.schema.fields
    return [(f.name, level) for f in fields for level in (None, *vocabularies.levels[f.name].to_list())]


def assert_equal(one, other):
    """Asserts that two checkpoints have the same values."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
