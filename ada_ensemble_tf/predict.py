"""Scores a raw log:

python -m ada_ensemble_tf.predict --workdir=.. --raw=FILE[,FILE..] --out=FILE.csv [--keep=COLUMN,COLUMN] [--explain]
"""

from collections.abc import Sequence

from absl import flags

from data_pipelines.errors import run_main
from data_pipelines.output import beside_output
from data_pipelines.raw.files import HELP, raw_files

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the training run.", required=True)
_RAW = flags.DEFINE_multi_string("raw", None, f"Raw log, whose labels are not read: {HELP}.", required=True)
_OUT = flags.DEFINE_string(
    "out", None, "File to write, in the logs' row order: .csv, .csv.gz or .parquet.", required=True
)
_KEEP = flags.DEFINE_list("keep", [], "Columns of the raw log to copy beside the column ctr, such as a row's key.")
_EXPLAIN = flags.DEFINE_bool(
    "explain", False, "Add each row's exit depth and experts, and by field the change of the logit when it is blank."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8192, "Rows scored at once.", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    """Scores, and prints the number of rows."""
    del argv
    from ada_ensemble_tf.inference.raw_scores import score_raw
    from ada_ensemble_tf.trained.workdir import Workdir

    workdir = Workdir(_WORKDIR.value)
    model = workdir.load_model()
    raw, out, options = raw_files(_RAW.value), _OUT.value, (_KEEP.value, _EXPLAIN.value)
    rows = score_raw(model, workdir.schema(), workdir.path, raw, out, _BATCH_SIZE.value, *options)
    print(f"{_OUT.value}: {rows} rows", file=beside_output(_OUT.value))


if __name__ == "__main__":
    run_main(main)
