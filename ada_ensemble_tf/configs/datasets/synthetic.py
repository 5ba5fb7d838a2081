"""Synthetic rows in Criteo's format with a planted click model, sized for a laptop."""

from pathlib import Path

from ml_collections import ConfigDict

from ada_ensemble_tf.configs import defaults, published
from ada_ensemble_tf.configs.models import set_priors


def get_config(model: str = "ada_ensemble") -> ConfigDict:
    """The config of `model`."""
    config = published.config_for(model)
    config.batch_size = 1024
    config.max_epochs = 3.0
    config.eval_every = 500
    # Sizes for a laptop, the same for all models.
    sizes = {"dimension": 8, "hidden_units": (256, 256), "feature_maps": (32, 32), "subspaces": 8, "num_layers": 3}
    for key, value in sizes.items():
        # Some models have no dense layers by design.
        if config.model.get(key):
            config.model[key] = value
    if model in published.PUBLISHED:
        return config
    config.max_epochs = 4.0
    config.eval_every = 114
    config.patience = 5
    config.ema_momentum = 0.995
    if config.embedding_optimizer.name == "group_ftrl":
        config.embedding_optimizer.learning_rate, config.embedding_optimizer.l2 = 0.03, 4.0
    if model not in published.LINEAR:
        config.weight_optimizer.learning_rate = config.gate_optimizer.learning_rate = 6e-3
    if model == "ada_ensemble":
        # Estimators as large as other models' MLPs.
        config.model.head_units = (256, 256)
        config.embedding_optimizer.l2 = 8.0
        config.training = "joint"
    if model == "dcn_v2":
        config.model.num_layers = 4
    if model == "dense_moe":
        config.model.anneal_epochs = 0.5
        set_priors(config.model, depth_prior=(0.3, 0.4, 0.3))
    if model == "hilomoe":
        # There are many rows: half an epoch is enough for the first two stages, so most of a short run is the last
        # stage.
        config.model.stage_epochs = (0.5, 0.5)
    return defaults.apply_tuned(config, Path(__file__).parent / "tuned" / "synthetic.json")
