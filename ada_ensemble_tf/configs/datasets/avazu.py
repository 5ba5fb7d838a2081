"""Avazu Click-Through Rate Prediction (Kaggle 2015): every model with the settings of AdaEnsemble's paper.

On the full data the paper (arXiv 2301.08353, table 1) reports test AUC 0.7687 and LogLoss 0.3865 for AdaEnsemble, and
0.7533 and 0.3952 for logistic regression; `experiments/paper.py` has the whole table.
"""

from ml_collections import ConfigDict

from ada_ensemble_tf.configs.published import paper_config


def get_config(model: str = "ada_ensemble") -> ConfigDict:
    """The config of `model`."""
    return paper_config(model)
