"""All raw formats, by their names in `--dataset`."""

from pathlib import Path

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import BINNINGS, DEFAULT_BINS, VALUE_TRANSFORMS, Input, RawFormat
from data_pipelines.formats import avazu, criteo, ipinyou, tabular

DATASETS = ("criteo", "avazu", "ipinyou", "ipinyou_contest", "tabular")
NUMERIC = ("bins", *VALUE_TRANSFORMS)
"""What integer columns can become."""


def make_format(
    dataset: str,
    numeric_bins: str = "log_square",
    with_hour: bool = False,
    schema_file: str | Path | None = None,
    bin_count: int | None = None,
    numeric: str = "bins",
) -> tuple[RawFormat, tuple[Input, ...]]:
    """A data set's raw format and fields.

    Args:
        dataset: one of `DATASETS`.
        numeric_bins: rule of integer columns ("criteo" and "tabular"), one of `BINNINGS`.
        with_hour: derive hour of day and weekday as well ("avazu").
        schema_file: what the columns are ("tabular").
        bin_count: number of bins, of "equal_frequency" only; None stands for `DEFAULT_BINS`.
        numeric: what integer columns are ("criteo"), one of `NUMERIC`: bins, or values with a float beside the id.

    Raises:
        UserError: an unknown name, or an option that the data set does not have.
    """
    if dataset not in DATASETS:
        raise UserError(f"unknown dataset {dataset!r}; known: {', '.join(DATASETS)}")
    if numeric_bins not in BINNINGS:
        raise UserError(f"--numeric_bins should be {', '.join(BINNINGS[:-1])} or {BINNINGS[-1]}, got {numeric_bins!r}")
    if numeric_bins != "log_square" and dataset not in ("criteo", "tabular"):
        raise UserError(f"--numeric_bins: {dataset} has no integer columns to bin")
    equal = numeric_bins == "equal_frequency"
    if bin_count is not None and not equal:
        raise UserError(f"--bin_count is for --numeric_bins=equal_frequency; {numeric_bins} bins have fixed bounds")
    if numeric not in NUMERIC:
        raise UserError(f"--numeric should be {', '.join(NUMERIC[:-1])} or {NUMERIC[-1]}, got {numeric!r}")
    if numeric != "bins" and dataset != "criteo":
        raise UserError(f"--numeric is for criteo; a schema file declares values, {dataset} has none")
    if numeric != "bins" and numeric_bins != "log_square":
        raise UserError(f"--numeric={numeric} makes no bins: leave out --numeric_bins={numeric_bins}")
    if with_hour and dataset != "avazu":
        raise UserError(f"--with_hour is for avazu; {dataset} has no such column")
    if (schema_file is None) == (dataset == "tabular"):
        raise UserError("--schema says what the columns of --dataset=tabular are; give both or neither")
    bins = (DEFAULT_BINS if bin_count is None else bin_count) if equal else 0
    if schema_file is not None:
        return tabular.read_schema_file(schema_file, numeric_bins, bins)
    if dataset == "criteo":
        return criteo.FORMAT, criteo.inputs(numeric_bins if numeric == "bins" else numeric, bins)
    if dataset == "avazu":
        return avazu.FORMAT, avazu.inputs(with_hour)
    contest = dataset == "ipinyou_contest"
    return ipinyou.CONTEST_FORMAT if contest else ipinyou.FORMAT, ipinyou.inputs(contest)
