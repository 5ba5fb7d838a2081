"""Which keys of a config were changed from the model's defaults."""

import json
from collections.abc import Mapping
from typing import Any

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.trained.run_files import flat


def changed_keys(config: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(key, value, default) of the keys whose value is not the model's default, as JSON; "" where there is none.

    Nothing is known of the defaults of a model that this version lacks; then the list is empty.
    """
    try:
        defaults = flat(config_for(config["model"]["name"]).to_dict())
    except (KeyError, ValueError):
        return []
    return [
        (key, json.dumps(value), json.dumps(defaults[key]) if key in defaults else "")
        for key, value in sorted(flat(config).items())
        if value != defaults.get(key) and key != "model.name"
    ]
