"""iPinYou Real-Time Bidding (2013): every model with the settings of AdaEnsemble's paper.

On the full data the paper (arXiv 2301.08353, table 1) reports test AUC 0.7807 and LogLoss 0.005550 for AdaEnsemble, and
0.7692 and 0.005605 for logistic regression; `experiments/paper.py` has the whole table.
"""

from ml_collections import ConfigDict

from ada_ensemble_tf.configs.published import paper_config


def get_config(model: str = "ada_ensemble") -> ConfigDict:
    """The config of `model`."""
    return paper_config(model)
