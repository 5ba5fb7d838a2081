"""Criteo Display Advertising (Kaggle 2014), every model with the settings of AdaEnsemble's paper.

It (arXiv 2301.08353, table 1) reports for AdaEnsemble test AUC 0.8132 and LogLoss 0.4394 on the full data, for logistic
regression 0.7924 and 0.4577; `experiments/paper.py` has all of the table.
"""

from ml_collections import ConfigDict

from experiments import defaults


def get_config(model: str = "ada_ensemble") -> ConfigDict:
    """The config of `model`."""
    return defaults.paper_config(model)
