"""What is known of made-up rows: the file of figures that `synthetic.py` writes beside them."""

from pathlib import Path
from typing import Any, TypedDict

from data_pipelines.json_files import as_type, load_user_json


class Truth(TypedDict):
    """What models are compared with; None where the rows have one label only, and no AUC."""

    bayes_auc: float | None
    bayes_logloss: float | None


def load_figures(path: str | Path, way_out: str) -> dict[str, Any]:
    """All figures. Raises UserError, ending in `way_out`, where the file is missing or malformed."""
    return as_type(load_user_json(path, way_out), dict[str, Any], str(path), way_out)


def load_truth(path: str | Path) -> Truth:
    """The best figures that any model can reach. Raises UserError where the file is missing or malformed."""
    way_out = "give the file that data_pipelines.synthetic wrote beside the rows"
    return as_type(load_figures(path, way_out), Truth, str(path), way_out, closed=False)
