"""The content of a training's metrics.json, made up."""

from typing import Any

FIGURES = {"auc": 0.7, "logloss": 0.5, "normalized_entropy": 0.9, "calibration": 1.0, "rows": 100}


def made_up_results(**given: Any) -> dict[str, Any]:
    """All keys of metrics.json, including the given ones."""
    return {
        "validation": FIGURES,
        "test": FIGURES,
        "flops_per_example": 20.0,
        "expert_correlation": {},
        "parameters": 10,
        "examples_per_second": 30.0,
        "best_step": 40,
        "config": {},
        "data_fingerprint": "0123",
        "versions": {"python": "3"},
    } | given
