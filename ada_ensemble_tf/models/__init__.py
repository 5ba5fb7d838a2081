"""Models by name. A new one: its file, its line in MODELS, its test, its function in experiments/."""

from ada_ensemble_tf.models.ada_ensemble import AdaEnsemble
from ada_ensemble_tf.models.base import CTRModel, Forward
from ada_ensemble_tf.models.logistic_regression import LogisticRegression

MODELS: dict[str, type[CTRModel]] = {
    "ada_ensemble": AdaEnsemble,
    "logistic_regression": LogisticRegression,
}


def model_class(name: str) -> type[CTRModel]:
    """The model registered as `name`.

    Raises:
        ValueError: if there is none.
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}; there are {', '.join(sorted(MODELS))}")
    return MODELS[name]


__all__ = ["MODELS", "AdaEnsemble", "CTRModel", "Forward", "LogisticRegression", "model_class"]
