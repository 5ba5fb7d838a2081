"""Raw click logs -> prepared data.

python -m data_pipelines.prepare --dataset=criteo --raw=train.txt --data_dir=DIR
python -m data_pipelines.prepare --dataset=avazu --raw=train --split_by=hour --data_dir=DIR
python -m data_pipelines.prepare --dataset=criteo --train=a.txt --validation=0.1 --test=b.txt --data_dir=DIR
python -m data_pipelines.prepare --extend=OLD_DIR --raw=tomorrow.txt --data_dir=DIR
"""

import importlib.util
from collections.abc import Sequence

from absl import flags

from data_pipelines.errors import UserError, extra_missing, run_main
from data_pipelines.fields.declarations import BINNINGS, DEFAULT_BINS, MAX_BINS, Input, RawFormat
from data_pipelines.formats import DATASETS, NUMERIC, make_format
from data_pipelines.prepare.build import build
from data_pipelines.prepare.engines.local import LocalEngine
from data_pipelines.prepare.engines.memory import DEFAULT_GB
from data_pipelines.prepare.extending import Old, given_or_old, load_old
from data_pipelines.prepare.split_flags import SplitFlags
from data_pipelines.ranges import POSITIVE, Range, define_float
from data_pipelines.raw.files import raw_files
from data_pipelines.read.preparation import Options

_DATASET = flags.DEFINE_enum("dataset", "criteo", DATASETS, "Name of the raw format.")
_SCHEMA = flags.DEFINE_string("schema", None, "Schema file of --dataset=tabular; formats/tabular.py has its keys.")
_SPLITS = SplitFlags()
_CLICKS = flags.DEFINE_multi_string("clicks", [], "Click logs of --dataset=ipinyou_contest, likewise.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory to make; it appears when complete.", required=True)
_MIN_COUNT = flags.DEFINE_integer("min_count", 20, "Rarer levels of the training split share a row per field.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the split, the choice of negatives and the shuffle on disk.")
_MAX_BAD_ROWS = flags.DEFINE_integer("max_bad_rows", 0, "Leave out and count up to so many bad rows.", lower_bound=0)
_NUMERIC_BINS = flags.DEFINE_enum(
    "numeric_bins",
    "log_square",
    BINNINGS,
    "floor(ln(v)^2) for v > 2, else v; floor(ln(v^2)); floor(ln(v^2 + 1)); or bins of about equally many rows.",
)
_BIN_COUNT = flags.DEFINE_integer(
    "bin_count", None, f"Bins of --numeric_bins=equal_frequency, by default {DEFAULT_BINS}.", 2, MAX_BINS
)
_NUMERIC = flags.DEFINE_enum(
    "numeric", "bins", NUMERIC, "Of criteo's integers: bins, or a standardised float beside the id (log: of ln(1 + v))."
)
_WITH_HOUR = flags.DEFINE_bool("with_hour", False, "Of avazu, hour of day and weekday as well.")
_BLOCK_ROWS = flags.DEFINE_integer("block_rows", 4096, "Rows of a record.")
_MEMORY_GB = define_float("memory_gb", DEFAULT_GB, "Bound on memory, GiB, of --engine=local.", POSITIVE)
_NEGATIVE_RATE = define_float(
    "negative_rate",
    1.0,
    "Share of the training split's negatives to keep; models correct for it.",
    Range(0.0, 1.0, above=True),
)
_EXTEND = flags.DEFINE_string(
    "extend", None, "Prepared data whose levels keep their ids; format, fields and what is not given are theirs."
)
_RETIRE_AFTER = flags.DEFINE_integer(
    "retire_after", 0, "With --extend: new levels may take the rows of levels unseen for so many preparations; 0: none."
)
_ENGINE = flags.DEFINE_enum("engine", "local", ["local", "spark"], "One machine, or a Spark cluster.")
_SPARK_MASTER = flags.DEFINE_string("spark_master", None, "Spark master's URL; default: all cores of this machine.")


def main(argv: Sequence[str]) -> None:
    """Runs `build` on the flags."""
    del argv
    if importlib.util.find_spec("tensorflow_datasets") is None:
        # Its metadata is written last, after hours for a large log.
        raise extra_missing("preparing data", "tensorflow-datasets", "train")
    rule, shares, raw = _SPLITS.rule()
    old = _old()
    raw_format, inputs = _format_and_inputs(old)
    if old is not None and not _SPLITS.given and not old.preparation.options.split_rule.files:
        rule, shares = old.preparation.options.split_rule, old.preparation.options.split
    before = Options(raw_format, inputs) if old is None else old.preparation.options
    options = Options(
        format=raw_format,
        inputs=inputs,
        min_count=given_or_old(_MIN_COUNT, before.min_count),
        split=shares,
        seed=given_or_old(_SEED, before.seed),
        block_rows=given_or_old(_BLOCK_ROWS, before.block_rows),
        split_rule=rule,
        negative_rate=given_or_old(_NEGATIVE_RATE, before.negative_rate),
    )
    clicks = raw_files(_CLICKS.value)
    build(options, raw, _DATA_DIR.value, _MAX_BAD_ROWS.value, clicks, _engine(), _show, old)


def _old() -> Old | None:
    if _EXTEND.value is None:
        if _RETIRE_AFTER.value:
            raise UserError(f"--retire_after={_RETIRE_AFTER.value} needs --extend, the data whose levels may retire")
        return None
    return load_old(_EXTEND.value, _RETIRE_AFTER.value)


def _format_and_inputs(old: Old | None) -> tuple[RawFormat, tuple[Input, ...]]:
    """What the flags say; those of the data to extend, if the flags say nothing."""
    given = (_DATASET, _NUMERIC_BINS, _WITH_HOUR, _SCHEMA, _BIN_COUNT, _NUMERIC)
    if old is not None and not any(flag.present for flag in given):
        return old.preparation.options.format, old.preparation.options.inputs
    return make_format(
        _DATASET.value, _NUMERIC_BINS.value, _WITH_HOUR.value, _SCHEMA.value, _BIN_COUNT.value, _NUMERIC.value
    )


def _engine():
    if _ENGINE.value == "local":
        if _SPARK_MASTER.value is not None:
            raise UserError("--spark_master needs --engine=spark")
        return LocalEngine(_MEMORY_GB.value, _show)
    from data_pipelines.prepare.engines.spark import SparkEngine

    return SparkEngine(_SPARK_MASTER.value, _show)


def _show(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    run_main(main)
