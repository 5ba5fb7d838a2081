"""For a table of your own: sizes, regularisation and patience go by the prepared data.

`ada_ensemble_tf/configs/table_rules.py` has the rules and the reasons. `train` prints the values that they give.
"""

from ml_collections import ConfigDict

from ada_ensemble_tf.configs import published, table_rules
from ada_ensemble_tf.configs.facts import Facts


def get_config(model: str = "ada_ensemble", facts: Facts | None = None) -> ConfigDict:
    """The config of `model` for the prepared data; without facts, for a table of middling size."""
    config = published.config_for(model)
    if model not in published.PUBLISHED:
        table_rules.apply(config, facts or table_rules.MIDDLING)
    return config
