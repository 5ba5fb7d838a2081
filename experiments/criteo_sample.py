"""A sample of Criteo's rows, from thousands to a few million, on a laptop: smaller than experiments/criteo.py."""

from ml_collections import ConfigDict

from experiments import defaults


def get_config(model: str = "ada_ensemble") -> ConfigDict:
    """The config of `model`."""
    config = defaults.config_for(model)
    config.batch_size = 256
    config.max_epochs = 10.0
    config.eval_every = 500
    if model == "ada_ensemble":
        config.model.dimension = 8
        config.model.num_layers = 3
        config.model.depth_prior = (0.3, 0.4, 0.3)
    return config
