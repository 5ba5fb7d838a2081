"""Scoring a raw log row by row, in its own order."""

import logging
import os
import time
from pathlib import Path

import polars as pl

from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.training.loop import duration
from ada_ensemble_tf.training.scoring import Scorer
from data_pipelines.errors import DataError, is_disk_full
from data_pipelines.formats import raw_format
from data_pipelines.raw import read_raw
from data_pipelines.schema import Schema
from data_pipelines.vocabulary import Vocabularies

logger = logging.getLogger(__name__)


def score_raw(
    model: CTRModel, schema: Schema, data_dir: str | Path, raw: list[str], out: str | Path, batch_size: int
) -> int:
    """Writes a CSV with one column `ctr`, a line for each row of the raw files in their order.

    Args:
        model: the trained model.
        schema: the fields.
        data_dir: the directory with the vocabulary files.
        raw: raw files of the schema's data set, with the label column or without.
        out: the CSV file; it appears once it is complete.
        batch_size: rows scored at once.

    Returns:
        The number of rows.

    Raises:
        DataError: for a bad line, a missing file or a full disk.
    """
    vocabularies, scorer = Vocabularies.load(data_dir, schema), Scorer(model)
    reader = read_raw(raw_format(schema.dataset), raw, label="optional")
    out = Path(out)
    temporary = out.with_name(out.name + ".incomplete")
    rows, started = 0, time.monotonic()
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write("ctr\n")
            for chunk in reader:
                ids = vocabularies.encode(chunk.frame)
                for start in range(0, len(ids), batch_size):
                    ctr = scorer(ids[start : start + batch_size])
                    pl.DataFrame({"ctr": ctr}).write_csv(file, include_header=False)
                rows += len(ids)
                seconds = time.monotonic() - started
                left = seconds * (reader.total_bytes / max(chunk.bytes_read, 1) - 1)
                logger.info("%d rows scored, %.0f rows/s, %s left", rows, rows / seconds, duration(left))
        os.replace(temporary, out)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if is_disk_full(error):
            raise DataError(f"{out}: the disk is full; free some space or choose another --out") from error
        raise
    return rows
