"""`--config=tabular` as a file in the checkout."""

from ada_ensemble_tf.configs.datasets.tabular import get_config

__all__ = ["get_config"]
