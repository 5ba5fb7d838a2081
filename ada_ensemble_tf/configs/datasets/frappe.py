"""Frappe app usage (Baltrunas et al., arXiv 1505.03014) with sampled negatives, as the neural-FM literature uses it.

Ten categorical columns; 57,722 rows in the sample that the tests use. experiments/frappe_schema.json describes them.
"""

from pathlib import Path

from ml_collections import ConfigDict

from ada_ensemble_tf.configs import defaults, published
from ada_ensemble_tf.configs.models import set_priors


def get_config(model: str = "ada_ensemble") -> ConfigDict:
    """The config of `model`."""
    config = published.config_for(model)
    config.batch_size = 512
    config.max_epochs = 15.0
    config.eval_every = 200
    config.patience = 2
    if model in published.PUBLISHED:
        return config
    config.eval_every = 90
    # AUC rises on after a pause, and LogLoss with an average of weights rises later than without (results/frappe.md).
    config.patience = 5
    config.ema_momentum = 0.995
    # Weights and gates use all rows, because rows are few and bi-level training gained nothing (results/frappe.md).
    config.training = "joint"
    if model == "ada_ensemble":
        config.model.dimension, config.model.dropout = 32, 0.1
        config.weight_optimizer.learning_rate = config.gate_optimizer.learning_rate = 3e-3
        config.embedding_optimizer.learning_rate, config.embedding_optimizer.l2 = 0.05, 1.0
    if model == "dense_moe":
        config.model.num_layers = 3
        set_priors(config.model, depth_prior=(0.3, 0.4, 0.3))
        config.model.dropout = 0.3
    return defaults.apply_tuned(config, Path(__file__).parent / "tuned" / "frappe.json")
