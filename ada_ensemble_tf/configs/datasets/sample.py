"""For a sample of a click log (Criteo, Avazu, iPinYou or your own) of thousands to some 100,000 rows, on a laptop.

Models are smaller than in criteo.py, and regularised for so few rows that most levels are rare. Embeddings
are not normalised, because that would amplify their noise.
"""

from ml_collections import ConfigDict

from ada_ensemble_tf.configs.models import WITH_PRIORS, set_priors
from ada_ensemble_tf.configs.published import config_for, set_published_layers


def get_config(model: str = "ada_ensemble") -> ConfigDict:
    """The config of `model`."""
    config = config_for(model)
    config.batch_size = 256
    config.max_epochs = 10.0
    config.eval_every = 500
    if model == "ada_ensemble":
        set_published_layers(config.model)
    if model in WITH_PRIORS:
        config.embedding_optimizer.learning_rate = 0.02
        config.embedding_optimizer.l2 = 10.0
        config.weight_optimizer.learning_rate = 3e-4
        config.model.dimension = 8
        config.model.num_layers = 3
        set_priors(config.model, depth_prior=(0.3, 0.4, 0.3))
        config.model.embedding_normalization = "none"
        config.model.l2 = 1e-3
    return config
