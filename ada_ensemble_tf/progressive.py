"""Tests and trains day by day, as a live log is used (progressive validation, McMahan et al., KDD 2013):

python -m ada_ensemble_tf.progressive --days=mon.csv,tue.csv,wed.csv --dataset=tabular --schema=schema.json
    --config=sample:dcn_v2 --out=DIR

Each day's rows first test the model of the days before, all of them as the served model would score them, then train
it. With --mode=continue the model of the day before goes on, with the day's rows alone; with --mode=anew a new model is
trained on all days so far; --mode=both does both, side by side, with one training of the first day. A second run with
the same --out does what is missing, also for days that were added at the end.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from ada_ensemble_tf.configs.files import define_config
from ada_ensemble_tf.trained.config_ranges import check_config
from data_pipelines.errors import run_main
from data_pipelines.fields.split_rules import shares
from data_pipelines.formats import DATASETS, make_format
from data_pipelines.raw.files import HELP, raw_files
from data_pipelines.read.preparation import Options

_CONFIG = define_config()
_DAYS = flags.DEFINE_multi_string("days", None, f"Raw logs in order, one file a day: {HELP}.", required=True)
_OUT = flags.DEFINE_string("out", None, "Where data, trainings, table and figure go.", required=True)
_MODE = flags.DEFINE_enum("mode", "both", ["continue", "anew", "both"], "How each day's model is trained.")
_DATASET = flags.DEFINE_enum("dataset", "criteo", DATASETS, "Name of the raw format.")
_SCHEMA = flags.DEFINE_string("schema", None, "Schema file of --dataset=tabular.")
_MIN_COUNT = flags.DEFINE_integer("min_count", 20, "Rarer levels of the training split share a row per field.")
_SPLIT = flags.DEFINE_list(
    "split", ["0.9", "0.05", "0.05"], "Shares of each day that train, choose the kept weights, and are left aside."
)
_RETIRE_AFTER = flags.DEFINE_integer(
    "retire_after", 0, "New levels may take the rows of levels unseen for so many days; 0: none.", lower_bound=0
)


def main(argv: Sequence[str]) -> None:
    """Works through the days and prints the table."""
    del argv
    check_config(_CONFIG.value.to_dict())
    # This process tests, others train: none may take all of a GPU's memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    from ada_ensemble_tf.progression.days import progress
    from ada_ensemble_tf.progression.page import table
    from ada_ensemble_tf.progression.request import Request, check_modes

    options = Options(
        *make_format(_DATASET.value, schema_file=_SCHEMA.value),
        min_count=_MIN_COUNT.value,
        split=shares(_SPLIT.value),
    )
    days, out = tuple(raw_files(_DAYS.value)), Path(_OUT.value)
    request = Request(days, options, _RETIRE_AFTER.value, _CONFIG.value.to_dict())
    print(table(progress(request, check_modes(_MODE.value), out)), end="")
    print(f"figure: {out / 'days.png'}")


if __name__ == "__main__":
    run_main(main)
