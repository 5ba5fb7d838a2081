"""Tables in memory as a model's inputs: pandas and Polars DataFrames, Arrow tables, dictionaries of columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from ada_ensemble_tf.inference.raw_scores import encoded
from data_pipelines.errors import UserError
from data_pipelines.fields.columns import coded, codes, distinct
from data_pipelines.fields.declarations import column_kinds
from data_pipelines.fields.labels import label_values
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.raw.parquet_text import check_types, column_text
from data_pipelines.raw.validation import without_bad_values
from data_pipelines.read.inputs import Inputs

Table: TypeAlias = Any
"""A pandas or Polars DataFrame, an Arrow table, or a mapping from names to columns of the same length."""
_PLACE = Path("table")


class TableEncoder:
    """Turns tables with the raw log's columns into a model's inputs and labels, as preparation does.

    Values may be of their own types, as in Parquet files (`data_pipelines.raw.parquet_text`). Levels that training did
    not see get their field's out-of-vocabulary row.

    Args:
        schema: the fields.
        folder: the prepared data or the training directory, which have the vocabulary files.

    Example:
        ``encoder = TableEncoder(data.schema, data.path)``, then
        ``model.fit(encoder(frame), encoder.labels(frame), batch_size=1024)``.
    """

    def __init__(self, schema: Schema, folder: str | Path):
        self.schema = schema
        self._vocabularies = Vocabularies.load(folder, schema)

    def __call__(self, table: Table) -> Inputs:
        """The inputs, as NumPy arrays: ids int32 `[n, C]`, or {"ids": ids, "values": float32 `[n, N]`}.

        Raises:
            UserError: a column is missing or of a type without text form, or a value is not what its field reads.
        """
        return encoded(self._vocabularies, self._columns(table, column_kinds(self.schema.fields)))

    def labels(self, table: Table) -> np.ndarray:
        """The labels, float32 `[n]`.

        Raises:
            UserError: there is no label column, or a value in it is no label.
        """
        name = self.schema.format.label
        columns = self._columns(table, {name: ("label",)})
        return label_values(distinct(columns, name), self.schema.format)[codes(columns, name)].astype(np.float32)

    def _columns(self, table: Table, kinds: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
        frame = _frame(table)
        if missing := [name for name in kinds if name not in frame.columns]:
            raise UserError(f"the table has no column {', '.join(missing)}; it has {', '.join(frame.columns)}")
        frame = frame.select(list(kinds))
        separators = {field.column: field.separator for field in self.schema.fields if field.separator}
        check_types(frame.to_arrow().schema, list(kinds), separators, _PLACE)
        columns = coded({name: column_text(frame[name], _PLACE, separators.get(name)) for name in kinds})
        columns, _, problems = without_bad_values(columns, kinds, self.schema.format)
        if problems:
            row = min(problems)
            raise UserError(f"row {row} of the table: {problems[row].text}")
        return columns


def _frame(table: Table) -> pl.DataFrame:
    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, Mapping):
        return pl.DataFrame(dict(table), strict=False)
    if isinstance(table, pa.Table | pa.RecordBatch):
        return pl.DataFrame(pl.from_arrow(table))
    if type(table).__module__.partition(".")[0] == "pandas":
        return pl.from_pandas(table)
    raise UserError(
        f"a table is a DataFrame, an Arrow table or a dictionary of columns; received {type(table).__name__}"
    )
