"""Compares models, or variants of one, over several seeds:

python -m ada_ensemble_tf.compare --config=frappe --models=dnn,dcn_v2 --data_dir=DIR --out=DIR

--study=experiments/studies.py:paper_table2 instead of --models compares named variants, which may be of one model.

A second run trains only what is missing. The exit code is 1 if a run failed.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from ada_ensemble_tf.comparison.configs import Variants, load_study
from ada_ensemble_tf.configs.models import MODELS
from ada_ensemble_tf.configs.overrides import parse
from data_pipelines.errors import UserError, run_main

_CONFIG = flags.DEFINE_string("config", None, "NAME, such as criteo, or FILE.py; without a model.", required=True)
_MODELS = flags.DEFINE_list("models", None, "Comma-separated models, or 'all'.")
_STUDY = flags.DEFINE_string("study", None, "FILE.py:NAME of a function that returns variants by label.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings of each model, with seeds 0, 1, ..", lower_bound=1)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared data.", required=True)
_OUT = flags.DEFINE_string("out", None, "Where runs and tables go.", required=True)
_JOBS = flags.DEFINE_integer("jobs", 1, "Trainings that run at once; they share the cores.", lower_bound=1)
_SET = flags.DEFINE_multi_string("set", [], "KEY=VALUE for every model's config; may be repeated.")
_TRUTH = flags.DEFINE_string("truth", None, "What the synthetic rows' generator wrote beside them.")


def main(argv: Sequence[str]) -> int:
    """Trains, and prints the table."""
    del argv
    from ada_ensemble_tf.comparison.comparing import compare, plan

    if (_MODELS.value is None) == (_STUDY.value is None):
        raise UserError("give one of --models and --study")
    variants = load_study(_STUDY.value) if _STUDY.value else _variants(_MODELS.value or [])
    data_dir, out = Path(_DATA_DIR.value), Path(_OUT.value)
    runs = plan(_CONFIG.value, variants, parse(_SET.value), _SEEDS.value, data_dir, out)
    return 0 if compare(runs, data_dir, out, _JOBS.value, Path(_TRUTH.value) if _TRUTH.value else None) else 1


def _variants(models: list[str]) -> Variants:
    return {model: (model, {}) for model in (sorted(MODELS) if models == ["all"] else models)}


if __name__ == "__main__":
    run_main(main)
