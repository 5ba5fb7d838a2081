"""Tunes models on the validation split, each with the same number of trials:

python -m ada_ensemble_tf.tune --config=frappe --models=dnn,dcn_v2 --trials=20 --data_dir=DIR --out=DIR

The best trial has the best validation metric config.monitor: AUC, or with --set=monitor=logloss the lowest LogLoss.
With --write=best.json the configs of the best trials go into a file: python -m ada_ensemble_tf.train
--config=best.json:dnn trains with one. A second run goes on where the first stopped.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from ada_ensemble_tf.comparison.configs import facts_for, make_config
from ada_ensemble_tf.comparison.runs import Workers
from ada_ensemble_tf.configs.defaults import TUNED_BY
from ada_ensemble_tf.configs.models import MODELS
from ada_ensemble_tf.configs.overrides import parse
from ada_ensemble_tf.configs.search_spaces import SPACES
from ada_ensemble_tf.trained.config_ranges import MONITORED
from data_pipelines.errors import extra_missing, run_main
from data_pipelines.locks import alone_in
from data_pipelines.ranges import NOT_NEGATIVE, define_float
from data_pipelines.read.preparation import load_complete

_CONFIG = flags.DEFINE_string("config", None, "NAME, such as criteo, or FILE.py; without a model.", required=True)
_MODELS = flags.DEFINE_list("models", None, "Models with commas between, or 'all'.", required=True)
_TRIALS = flags.DEFINE_integer("trials", 20, "Trials of each model; the first is the config as it is.", lower_bound=1)
_SPACE = flags.DEFINE_enum("space", "paper", sorted(SPACES), "A search space of configs/search_spaces.py.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared data; its test split is not scored.", required=True)
_OUT = flags.DEFINE_string("out", None, "Where trials go.", required=True)
_JOBS = flags.DEFINE_integer("jobs", 1, "Trainings that run at once; they share the cores.", lower_bound=1)
_SET = flags.DEFINE_multi_string("set", [], "KEY=VALUE for every model's config; may be repeated.")
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of the proposals; that of the trainings is a config key.", lower_bound=0, upper_bound=10_000
)
_SEARCH = flags.DEFINE_enum(
    "search", "tpe", ["tpe", "grid"], "tpe learns from the trials so far; grid walks the space's grid in random order."
)
_PARSIMONY = define_float(
    "parsimony", 0.0, "Gain that one more expert or layer must bring; AdaEnsemble's paper: 0.0002 of AUC.", NOT_NEGATIVE
)
_WRITE = flags.DEFINE_string("write", None, "JSON file that takes the best configs, beside those of other models.")


def main(argv: Sequence[str]) -> int:
    """Tunes and prints the best values."""
    del argv
    try:
        from ada_ensemble_tf.comparison.tuning import Tuning, write_best
    except ModuleNotFoundError as error:
        raise extra_missing("tuning", str(error.name), "tune") from error
    names = sorted(MODELS) if _MODELS.value == ["all"] else _MODELS.value
    facts = facts_for(_CONFIG.value, _DATA_DIR.value)
    configs = [make_config(_CONFIG.value, name, parse(_SET.value), facts) for name in names]
    _, preparation = load_complete(_DATA_DIR.value)
    out, code = Path(_OUT.value), 0
    with alone_in(out, "choose another --out"), Workers(_JOBS.value) as workers:
        for name, config in zip(names, configs, strict=True):
            space, folder = SPACES[_SPACE.value](config), out / name
            data = (Path(_DATA_DIR.value), preparation.fingerprint())
            tuning = Tuning(config, space, *data, folder, _SEED.value, _SEARCH.value)
            tuning.run(_TRIALS.value, workers)
            best = tuning.best(_PARSIMONY.value)
            if best is None:
                print(f"{name}: all {_TRIALS.value} trials failed; see {folder}/*/train.log")
                code = 1
                continue
            values = " ".join(f"--config.{key}={value}" for key, value in best["values"].items())
            metric, value = MONITORED[config.monitor].written, best[TUNED_BY[config.monitor]]
            print(f"{name}: validation {metric} {value:.5f} of {best['trials']} trials: {values}")
            if _WRITE.value:
                write_best(Path(_WRITE.value), name, best)
    return code


if __name__ == "__main__":
    run_main(main)
