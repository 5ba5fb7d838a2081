"""Scores a raw log, one score per row, in the order of the log."""

import logging
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import tensorflow as tf

from ada_ensemble_tf.evaluation.scoring import Scorer
from ada_ensemble_tf.evaluation.unknown_ids import UnknownFields
from ada_ensemble_tf.models import CTRModel
from data_pipelines.errors import UserError, is_disk_full
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.output import complete_file
from data_pipelines.progress import Progress
from data_pipelines.raw import RawReader
from data_pipelines.read.inputs import Inputs, make_inputs

logger = logging.getLogger(__name__)


def score_raw(
    model: CTRModel, schema: Schema, data_dir: str | Path, raw: Sequence[str | Path], out: str | Path, batch_size: int
) -> int:
    """Writes a CSV with one column, `ctr`, and one line per row of the raw files, in their order.

    Warns about fields whose values are nearly all out of vocabulary although they were not in training.

    Args:
        model: the trained model.
        schema: the fields.
        data_dir: the training directory, with the vocabulary files.
        raw: raw files in the format of the schema's data set, with or without the label column.
        out: the CSV file; it appears once it is complete. A pipe or device receives the rows as they are scored.
        batch_size: rows per forward pass.

    Returns:
        The number of rows.

    Raises:
        UserError: if a line is malformed, a file is missing or the disk is full.
    """
    vocabularies, scorer = Vocabularies.load(data_dir, schema), Scorer(model)
    reader = RawReader(schema.format, schema.fields, raw, label="ignored")
    unknown = UnknownFields(schema, data_dir)
    rows, progress = 0, Progress("scoring", reader.total_bytes, logger.info)
    try:
        with complete_file(out) as file:
            file.write("ctr\n")
            for chunk in reader:
                inputs = encoded(vocabularies, chunk.columns)
                unknown.add(inputs)
                for start in range(0, chunk.columns.num_rows, batch_size):
                    part = slice(start, start + batch_size)
                    ctr = scorer(tf.nest.map_structure(lambda x, part=part: x[part], inputs))
                    pl.DataFrame({"ctr": ctr}).write_csv(file, include_header=False)
                rows += chunk.columns.num_rows
                progress.update(rows, chunk.bytes_read)
    except BaseException as error:
        if is_disk_full(error):
            raise UserError(f"{out}: the disk is full; free some space or choose another --out") from error
        raise
    unknown.warn()
    return rows


def encoded(vocabularies: Vocabularies, columns: pa.RecordBatch) -> Inputs:
    """Encodes raw columns (`RawChunk.columns`) as the model's inputs, in NumPy arrays."""
    ids = vocabularies.encode(columns)
    return make_inputs(ids, vocabularies.values(columns) if vocabularies.schema.value_fields else None)
