"""`--config=sample` as a file in the checkout, by the path that the pages of results/ name."""

from ada_ensemble_tf.configs.datasets.sample import get_config

__all__ = ["get_config"]
