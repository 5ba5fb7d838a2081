"""Criteo Display Advertising (Kaggle 2014): every model with the settings of AdaEnsemble's paper.

On the full data the paper (arXiv 2301.08353, table 1) reports test AUC 0.8132 and LogLoss 0.4394 for AdaEnsemble, and
0.7924 and 0.4577 for logistic regression; `experiments/paper.py` has the whole table.
"""

from ml_collections import ConfigDict

from ada_ensemble_tf.configs.published import paper_config


def get_config(model: str = "ada_ensemble") -> ConfigDict:
    """The config of `model`."""
    return paper_config(model)
