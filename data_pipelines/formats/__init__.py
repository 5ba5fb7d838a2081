"""All raw formats, by their names in `--dataset`."""

from pathlib import Path

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.formats import avazu, criteo, ipinyou, tabular

DATASETS = ("criteo", "avazu", "ipinyou", "ipinyou_contest", "tabular")


def make_format(
    dataset: str,
    numeric_bins: str = "log_square",
    with_hour: bool = False,
    schema_file: str | Path | None = None,
) -> tuple[RawFormat, tuple[Input, ...]]:
    """A data set's raw format and fields.

    Args:
        dataset: one of `DATASETS`.
        numeric_bins: rule of integer columns ("criteo" and "tabular").
        with_hour: derive hour of day and weekday as well ("avazu").
        schema_file: what the columns are ("tabular").

    Raises:
        UserError: an unknown name, or an option that the data set does not have.
    """
    if dataset not in DATASETS:
        raise UserError(f"unknown dataset {dataset!r}; known: {', '.join(DATASETS)}")
    if numeric_bins not in ("log_square", "log_of_square"):
        raise UserError(f"--numeric_bins should be log_square or log_of_square, got {numeric_bins!r}")
    if numeric_bins != "log_square" and dataset not in ("criteo", "tabular"):
        raise UserError(f"--numeric_bins: {dataset} has no integer columns to bin")
    if with_hour and dataset != "avazu":
        raise UserError(f"--with_hour is for avazu; {dataset} has no such column")
    if (schema_file is None) == (dataset == "tabular"):
        raise UserError("--schema says what the columns of --dataset=tabular are; give both or neither")
    if schema_file is not None:
        return tabular.read_schema_file(schema_file, numeric_bins)
    if dataset == "criteo":
        return criteo.FORMAT, criteo.inputs(numeric_bins)
    if dataset == "avazu":
        return avazu.FORMAT, avazu.inputs(with_hour)
    contest = dataset == "ipinyou_contest"
    return ipinyou.CONTEST_FORMAT if contest else ipinyou.FORMAT, ipinyou.inputs(contest)
