"""Criteo Display Advertising (Kaggle 2014), with the paper's settings.

AdaEnsemble (arXiv 2301.08353), section 4.1.4 and table 1: batch 4096, D = 16, evaluation every 2000 steps with early
stopping; it reports test AUC 0.8132 and LogLoss 0.4394 on the full data, logistic regression 0.7924 and 0.4577. What
it does not give, such as G-FTRL's settings, comes from defaults.py and was tuned on synthetic rows.
"""

from ml_collections import ConfigDict

from experiments import defaults


def get_config(model: str = "ada_ensemble") -> ConfigDict:
    """The config of `model`."""
    return defaults.config_for(model)
