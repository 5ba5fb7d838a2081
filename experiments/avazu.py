"""Avazu Click-Through Rate Prediction (Kaggle 2015), with the paper's settings.

AdaEnsemble (arXiv 2301.08353), section 4.1.4 and table 1: batch 4096, D = 16, evaluation every 2000 steps with early
stopping; it reports test AUC 0.7687 and LogLoss 0.3865 on the full data, logistic regression 0.7533 and 0.3952. What
it does not give comes from defaults.py.
"""

from ml_collections import ConfigDict

from experiments import defaults


def get_config(model: str = "ada_ensemble") -> ConfigDict:
    """The config of `model`."""
    return defaults.config_for(model)
