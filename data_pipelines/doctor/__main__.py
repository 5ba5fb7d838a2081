"""Reports what data hold and what is wrong with them: prepared data, or a raw log before it is prepared.

python -m data_pipelines.doctor --data_dir=DIR
python -m data_pipelines.doctor --raw=train.txt --dataset=criteo
python -m data_pipelines.doctor --raw=train --dataset=avazu --split_by=hour
python -m data_pipelines.doctor --raw=table.csv --suggest_schema=table.json

The exit code is 1 where there are errors, and 0 where there are at most warnings.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence

from absl import flags

from data_pipelines.doctor.prepared import OPTIMIZER_SLOTS, examine_prepared
from data_pipelines.doctor.raw import examine_raw
from data_pipelines.doctor.result import Column, Report
from data_pipelines.doctor.suggest_schema import decide, save_schema
from data_pipelines.doctor.table_sample import sample_table
from data_pipelines.errors import UserError, extra_missing, run_main
from data_pipelines.fields.split_rules import SplitRule, shares
from data_pipelines.formats import DATASETS, make_format
from data_pipelines.output import beside_output
from data_pipelines.raw.files import HELP, raw_files
from data_pipelines.read.preparation import Options

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared directory to check.")
_RAW = flags.DEFINE_multi_string("raw", None, f"Raw log to check: {HELP}.")
_DATASET = flags.DEFINE_enum("dataset", None, DATASETS, "Name of the raw format.")
_SCHEMA = flags.DEFINE_string("schema", None, "Schema file of --dataset=tabular; formats/tabular.py has its keys.")
_CLICKS = flags.DEFINE_multi_string("clicks", [], "Click logs of --dataset=ipinyou_contest, likewise.")
_WITH_HOUR = flags.DEFINE_bool("with_hour", False, "Of avazu, hour of day and weekday as well.")
_MAX_BAD_ROWS = flags.DEFINE_integer("max_bad_rows", 0, "More bad rows are an error.", lower_bound=0)
_SPLIT_BY = flags.DEFINE_string("split_by", None, "Column of times that prepare will split --raw by.")
_SPLIT_TIME = flags.DEFINE_string("split_time", None, "Form of the times in --split_by, if it is not found.")
_SPLIT = flags.DEFINE_list("split", ["0.7", "0.1", "0.2"], "Shares of train, validation and test of --split_by.")
_SUGGEST = flags.DEFINE_string("suggest_schema", None, "Schema file to write, from a look at --raw.")
_LABEL = flags.DEFINE_string("label", None, "Label column of --suggest_schema, where its name does not tell.")
_JSON = flags.DEFINE_bool("json", False, "Print JSON.")
_DIMENSION = flags.DEFINE_integer(
    "embedding_dimension", 16, "For the memory that the embedding table needs.", lower_bound=1
)
_OPTIMIZER = flags.DEFINE_enum("optimizer", "adam", list(OPTIMIZER_SLOTS), "For the same.")


def main(argv: Sequence[str]) -> int:
    """Prints a report on what the flags name; returns its exit code."""
    del argv
    if (_DATA_DIR.value is None) == (not _RAW.value):
        raise UserError("name what to check: --data_dir, or --raw with --dataset or --suggest_schema")
    if _SUGGEST.value is None and importlib.util.find_spec("scipy") is None:
        # Its tests come after all rows are counted.
        raise extra_missing("examining data", "SciPy", "train")
    report = _report(lambda line: None if _JSON.value else print(line, flush=True))
    file = sys.stdout if _SUGGEST.value is None else beside_output(_SUGGEST.value)
    print(report.to_json() if _JSON.value else report.to_text(), file=file)
    return report.exit_code


def _report(show: Callable[[str], None]) -> Report:
    if _DATA_DIR.value is not None:
        return examine_prepared(_DATA_DIR.value, _DIMENSION.value, _OPTIMIZER.value, show)
    if _SUGGEST.value is not None:
        return _suggest(str(raw_files(_RAW.value or ())[0]), _SUGGEST.value)
    if _DATASET.value is None:
        raise UserError("--raw needs --dataset, or --suggest_schema for a table that no schema file describes yet")
    raw_format, inputs = make_format(_DATASET.value, with_hour=_WITH_HOUR.value, schema_file=_SCHEMA.value)
    raw, clicks = raw_files(_RAW.value or ()), raw_files(_CLICKS.value or ())
    options = None
    if _SPLIT_BY.value is not None:
        rule = SplitRule("column", _SPLIT_BY.value, _SPLIT_TIME.value or "")
        options = Options(raw_format, inputs, split=shares(_SPLIT.value), split_rule=rule)
    return examine_raw(raw_format, inputs, raw, clicks, _MAX_BAD_ROWS.value, show, options)


def _suggest(raw: str, out: str) -> Report:
    sample = sample_table(raw)
    decisions = decide(sample, _LABEL.value)
    save_schema(out, sample, decisions)
    report = Report(f"{out}: a first schema of {raw}, from {sample.rows.height:,} of its rows")
    report.facts |= {"schema": out, "file": raw, "sampled_rows": sample.rows.height}
    report.section(
        "columns",
        [
            {"column": one.column, "kind": one.kind, "why": one.why, "fields": [field["name"] for field in one.fields]}
            for one in decisions
        ],
    )
    report.table(
        "columns", "columns", [Column("column", "column"), Column("kind", "kind"), Column("why", "why", "line")]
    )
    for one in decisions:
        if one.warning:
            report.warning("column", f"column {one.column}: {one.warning}", field=one.column)
    report.line("")
    report.line("correct it where it is wrong (data_pipelines/formats/tabular.py says what it may hold), then:")
    report.line(f"python -m data_pipelines.doctor --dataset=tabular --schema={out} --raw={raw}")
    return report


if __name__ == "__main__":
    run_main(main)
