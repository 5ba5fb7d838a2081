"""Scores a raw log, one score per row, in the order of the log."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tensorflow as tf

from ada_ensemble_tf.evaluation.scoring import Scorer
from ada_ensemble_tf.evaluation.unknown_ids import UnknownFields
from ada_ensemble_tf.inference.explaining import Explainer, encoded
from ada_ensemble_tf.inference.score_files import score_file
from ada_ensemble_tf.models import CTRModel
from data_pipelines.errors import UserError
from data_pipelines.fields.columns import texts
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.progress import Progress
from data_pipelines.raw import RawReader

logger = logging.getLogger(__name__)


def score_raw(
    model: CTRModel,
    schema: Schema,
    data_dir: str | Path,
    raw: Sequence[str | Path],
    out: str | Path,
    batch_size: int,
    keep: Sequence[str] = (),
    explain: bool = False,
) -> int:
    """Writes a table with a row for each row of the raw files, in their order: kept columns, `ctr`, explanation.

    Warns about fields whose values are nearly all out of vocabulary although they were not in training.

    Args:
        model: the trained model.
        schema: the fields.
        data_dir: the training directory, with the vocabulary files.
        raw: raw files in the format of the schema's data set, with or without the label column. Where they have a
            header, other columns may stand among those that are read, in any order.
        out: the file, see `score_files.score_file`.
        batch_size: rows per forward pass.
        keep: columns of the raw files to copy, as text.
        explain: whether to add the columns of `Explainer`.

    Returns:
        The number of rows.

    Raises:
        UserError: if a line is malformed, a file or a kept column is missing, two columns would have the same name, or
            the disk is full.
    """
    vocabularies, scorer = Vocabularies.load(data_dir, schema), Scorer(model)
    explainer = Explainer(model, vocabularies) if explain else None
    _check_names(keep, explainer)
    reader = RawReader(schema.format, schema.fields, raw, label="ignored", also=dict.fromkeys(keep, "text"))
    unknown = UnknownFields(schema, data_dir)
    rows, done, progress = 0, 0, Progress("scoring", reader.total_bytes, logger.info)
    with score_file(out) as add, progress:
        for chunk in reader:
            inputs, kept, count = (
                encoded(vocabularies, chunk.columns),
                chunk.columns.select(keep),
                chunk.columns.num_rows,
            )
            unknown.add(inputs)
            for start in range(0, count, batch_size):
                batch = tf.nest.map_structure(lambda x, start=start: x[start : start + batch_size], inputs)
                scores = pl.DataFrame({"ctr": scorer(batch)})
                parts = [texts(kept.slice(start, batch_size)), scores, *([explainer(batch)] if explainer else [])]
                add(pl.concat([part for part in parts if part.width], how="horizontal"))
                scored = start + len(scores)
                progress.update(rows + scored, done + (chunk.bytes_read - done) * scored // count)
            rows, done = rows + count, chunk.bytes_read
    unknown.warn()
    return rows


def score_labelled(
    model: CTRModel, schema: Schema, data_dir: str | Path, raw: Sequence[str | Path], batch_size: int = 8192
) -> dict[str, float]:
    """The metrics of a model on all rows of raw files, which need a label column; weighted where rows have weights.

    Args:
        model: the trained model.
        schema: the fields.
        data_dir: the training directory, with the vocabulary files.
        raw: raw files in the format of the schema's data set.
        batch_size: rows per forward pass.

    Raises:
        UserError: if a line is malformed or a file is missing.
    """
    vocabularies, scorer = Vocabularies.load(data_dir, schema), Scorer(model)
    reader = RawReader(schema.format, schema.fields, raw)

    def batches() -> Iterator[tuple[Any, ...]]:
        for chunk in reader:
            assert chunk.label is not None, "labels are required"
            inputs, label = encoded(vocabularies, chunk.columns), chunk.label.astype(np.float32)
            rows = (inputs, label) if chunk.weight is None else (inputs, label, chunk.weight)
            for start in range(0, len(label), batch_size):
                yield tf.nest.map_structure(lambda x, at=start: tf.constant(x[at : at + batch_size]), rows)

    return scorer.score(batches()).metrics()


def _check_names(keep: Sequence[str], explainer: Explainer | None) -> None:
    """Raises UserError if two columns of the output would have the same name."""
    taken = ["ctr", *(explainer.columns if explainer else [])]
    for place, name in enumerate(keep):
        if name in keep[:place]:
            raise UserError(f"--keep={','.join(keep)}: {name!r} is named twice; name each column once")
        if name in taken:
            raise UserError(f"--keep={name}: a column of the output has this name; rename it in the raw file")
