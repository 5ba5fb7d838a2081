"""Prepared data written row by row, without a raw log."""

from pathlib import Path

import numpy as np

from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.schema import PADDING, Field, Schema
from data_pipelines.read.dataset import PreparedData
from data_pipelines.read.preparation import SPLITS, Options, Preparation
from data_pipelines.read.records import row_dtype, shard_name, write_shard, write_tfds_metadata

INPUTS = (
    Input("row", "row"),
    Input("price", "price", "value"),
    Input("genres", "genres", separator="|", max_values=3),
    Input("age", "age", "log_value"),
)
BLOCK_ROWS = 32


def write_rows(
    path: Path, rows: dict[str, int], files: int, with_values: bool = True, value_scale: float = 1.0
) -> tuple[PreparedData, dict]:
    """Prepared data of made-up rows, whose first id is the row's number, and the written rows by split.

    Args:
        path: a directory to write to.
        rows: number of rows by split.
        files: record files of each split.
        with_values: whether two of the four fields have a float beside the id.
        value_scale: what the floats are multiplied by; without it they are as large as row numbers.
    """
    rng = np.random.default_rng(11)
    inputs = INPUTS if with_values else INPUTS[::2]
    fields, offset = [], 0
    for one in inputs:
        size, width = (sum(rows.values()) if one.name == "row" else 3), one.max_values
        parameters = (0.0, 1.0) if "value" in one.transform else ()
        fields.append(Field(one.name, one.transform, size, offset, one.column, parameters, one.separator, width))
        offset += size
    raw_format = RawFormat("madeup", "label")
    schema = Schema(raw_format, tuple(fields))
    written, shards, first = {}, {}, 0
    for split in SPLITS:
        table = np.zeros(rows[split], row_dtype(sum(schema.widths), len(schema.value_fields)))
        for column, start in enumerate(np.repeat([field.offset for field in fields], schema.widths)):
            table["ids"][:, column] = start + rng.integers(0, 3, len(table))
        table["ids"][:, 0] = np.arange(first, first + len(table))
        genres = table["ids"][:, 1 + with_values :][:, :3]
        genres[np.arange(3) > rng.integers(0, 3, (len(table), 1))] = PADDING
        if with_values:
            # Values follow from the row's number, so that tests can check that values stay with their rows.
            table["values"] = table["ids"][:, :1] * (value_scale * np.array([0.5, -2.0]))
        table["label"] = table["ids"][:, 0] % 2
        parts = np.array_split(table, files)
        names = [path / shard_name("madeup", split, i, files) for i in range(files)]
        shards[split] = tuple(write_shard(name, part, BLOCK_ROWS) for name, part in zip(names, parts, strict=True))
        written[split], first = table, first + len(table)
    write_tfds_metadata(path, "madeup", sum(schema.widths), len(schema.value_fields), shards)
    preparation = Preparation(
        options=Options(raw_format, inputs, block_rows=BLOCK_ROWS),
        raw=(),
        clicks=(),
        bad_rows=0,
        positives={split: int(table["label"].sum()) for split, table in written.items()},
        shards=shards,
        schema_fingerprint=schema.fingerprint(),
    )
    return PreparedData(path, schema, preparation), written
