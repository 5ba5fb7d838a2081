"""The layers of AdaEnsemble's paper and of its original release, as arguments of the constructor."""

from typing import Any

from ada_ensemble_tf.configs.published import LAYERS


def _argument(key: str, value: Any) -> tuple[str, Any]:
    if not key.endswith("_epochs"):
        return key, value
    assert value == 0.0, f"{key}={value}: its number of steps depends on the data"
    return key.replace("_epochs", "_steps"), 0


PUBLISHED_LAYERS = dict(_argument(key, value) for key, value in LAYERS.items())
"""For tests of what the paper defines, which the default layers may not have: `AdaEnsemble(**PUBLISHED_LAYERS)`."""
