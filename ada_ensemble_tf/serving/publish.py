"""Export: a SavedModel appears in its versioned folder once it is complete and its scores have been checked."""

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.scoring import Scorer
from ada_ensemble_tf.inference.raw_text import random_ids, raw_text
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.serving import model_card
from ada_ensemble_tf.serving.golden_rows import GoldenRows, golden_rows
from ada_ensemble_tf.serving.parity import TOLERANCES, check_parity
from ada_ensemble_tf.serving.session import ServingSession
from ada_ensemble_tf.serving.signatures import ServedModel, set_methods
from ada_ensemble_tf.serving.tables import Storage
from ada_ensemble_tf.serving.warmup import write_warmup
from data_pipelines import checksums
from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError, is_disk_full
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.locks import alone_in
from data_pipelines.output import SUFFIX
from data_pipelines.quiet import without_false_alarms
from data_pipelines.read.inputs import Inputs, named

logger = logging.getLogger(__name__)

RANDOM_ROWS = 64
_PLAIN = Storage()


def export(
    model: CTRModel,
    schema: Schema,
    data_dir: str | Path,
    export_dir: str | Path,
    columns: Mapping[str, Sequence[str]] | None = None,
    storage: Storage = _PLAIN,
    example_numbers: str = "text",
    training: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    test: Iterable[tuple[Any, tf.Tensor]] | None = None,
) -> Path:
    """Writes a SavedModel into the next numbered folder of `export_dir`, as TF Serving looks for them.

    The folder also holds MODEL_CARD.md and, in assets.extra, golden rows and warm-up requests. Writing the requests
    needs tensorflow-serving-api.

    Args:
        model: the trained model; its tables are set to the values that the stored tables return.
        schema: the fields.
        data_dir: the directory with the vocabulary files.
        export_dir: the folder that holds the numbered versions.
        columns: rows by raw column, for golden rows and warm-up; made from the vocabularies by default.
        storage: how embedding tables are stored.
        example_numbers: how tf.Examples hold numbers, see `serving.examples`.
        training: the content of metrics.json, for the card.
        config: the training config, for the card.
        test: (inputs, labels) batches, on which AUC is reported before and after `storage` is applied.

    Returns:
        The version's folder, which appears under its name once it is complete.

    Raises:
        UserError: if the SavedModel gives other scores than the model in Python, the disk is full, or another process
            is exporting there.
    """
    with _new_version(Path(export_dir)) as (staging, final):
        model.finish_annealing()
        # Before ServedModel sets the Python model's tables to the values that the stored tables return.
        before = None if test is None else _figures(Scorer(model), test)
        served = _save_graph(ServedModel(model, schema, data_dir, storage, example_numbers), staging)
        rows = _make_golden_rows(model, schema, data_dir, columns, example_numbers)
        with without_false_alarms(), contextlib.closing(ServingSession(staging, check=False)) as session:
            parity = _checked_parity(model, staging, session, rows)
            told = _sizes(model, served, storage)
            if before is not None and test is not None:
                told.append(_change(before, _figures(_by_ids(session), test)))
            rows.save(staging)
            told += _write_warmup(staging, session, rows, model.name)
        card = model_card.Card(
            final.name, model, schema, served, example_numbers, training or {}, config or {}, parity, told
        )
        (staging / model_card.FILE).write_text(card.text(), encoding="utf-8")
        files = (path for path in staging.rglob("*") if path.is_file() and path.name != checksums.FILE_NAME)
        Checksums(staging).add(str(path.relative_to(staging)) for path in files)
    _log([parity, *told], served)
    return final


def _save_graph(served: ServedModel, staging: Path) -> ServedModel:
    tf.saved_model.save(served, str(staging), signatures=served.functions)
    set_methods(staging)
    return served


def _make_golden_rows(
    model: CTRModel,
    schema: Schema,
    data_dir: str | Path,
    columns: Mapping[str, Sequence[str]] | None,
    example_numbers: str,
) -> GoldenRows:
    """The rows that every signature must score as the model in Python does; from the vocabularies without `columns`."""
    vocabularies = Vocabularies.load(data_dir, schema)
    if columns is None:
        columns = raw_text(vocabularies, *random_ids(schema, RANDOM_ROWS))
    return golden_rows(model, schema, vocabularies, columns, example_numbers)


def _checked_parity(model: CTRModel, staging: Path, session: ServingSession, rows: GoldenRows) -> str:
    """Says how close the SavedModel's scores are to the Python model's; raises UserError if not close enough."""
    tolerance = TOLERANCES["bfloat16" if model.dtype_policy.compute_dtype == "bfloat16" else "float32"]
    largest = check_parity(staging, session, rows, tolerance)
    return (
        f"{len(rows.ctr)} rows were scored by each signature in TensorFlow's session, and by the model in Python: "
        f"the largest relative difference of a click probability is {largest:.1e} (at most {tolerance:g} is let "
        "pass). They are in assets.extra/golden_rows.json."
    )


def _write_warmup(staging: Path, session: ServingSession, rows: GoldenRows, name: str) -> list[str]:
    """Writes warm-up requests; returns a sentence for the card if there are none."""
    try:
        write_warmup(staging, session, rows, name)
    except UserError as error:
        logger.warning("%s", error)
        return ["It has no warm-up requests."]
    return []


def _log(told: Sequence[str], served: ServedModel) -> None:
    for line in told:
        logger.info("%s", line)
    for column, name in served.arguments.items():
        if column != name:
            logger.info("column %r is the signature's input %s", column, name)


@contextlib.contextmanager
def _new_version(export_dir: Path) -> Iterator[tuple[Path, Path]]:
    """Yields the folder to write to and the numbered one, whose name it gets when the block ends without an error."""
    with alone_in(export_dir, "choose another --export_dir"):
        # Remove what killed exports left.
        for left in export_dir.glob(f"[0-9]*{SUFFIX}"):
            shutil.rmtree(left)
        versions = [int(path.name) for path in export_dir.iterdir() if path.name.isdigit()]
        final = export_dir / str(max(versions, default=0) + 1)
        # The name is not a number, so TF Serving ignores it.
        staging = export_dir / f"{final.name}{SUFFIX}"
        try:
            yield staging, final
            os.rename(staging, final)
        except BaseException as error:
            shutil.rmtree(staging, ignore_errors=True)
            if is_disk_full(error):
                raise UserError(
                    f"{export_dir}: the disk is full; free some space or choose another --export_dir"
                ) from error
            raise


def _sizes(model: CTRModel, served: ServedModel, storage: Storage) -> list[str]:
    """Sentences about the size of the weights and what `storage` saved."""
    size = sum(v.value.dtype.size * int(np.prod(v.shape)) for v in model.variables)
    if storage.is_plain:
        return [f"Weights are {size:,} bytes."]
    stored = sum(v.dtype.size * int(np.prod(v.shape)) for v in served.variables) + served.tables.constant_bytes
    told = [f"Embedding tables are stored as {storage.weights}: weights are {stored:,} bytes, {size:,} before."]
    if storage.prune_zero_rows:
        dropped, zeros = served.tables.dropped, served.tables.zeros
        told.append(f"{dropped:,} of {zeros:,} rows of zeros were left out; a table is cut only if that saves space.")
    return told


def _change(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    figures = [f"{name} {before[name]:.6f} before, {after[name]:.6f} after" for name in ("auc", "logloss")]
    return f"On {before['rows']:,} test rows: {', '.join(figures)}."


def _by_ids(session: ServingSession) -> Callable[[Inputs], np.ndarray]:
    def score(inputs: Inputs) -> np.ndarray:
        return session("ids", {name: tensor.numpy() for name, tensor in named(inputs).items()})["ctr"]

    return score


def _figures(score: Callable[[Inputs], np.ndarray], batches: Iterable[tuple[Any, ...]]) -> dict[str, float]:
    scored = [(rest[0].numpy(), score(inputs), *(w.numpy() for w in rest[1:])) for inputs, *rest in batches]
    return metrics.all_metrics(*(np.concatenate(parts) for parts in zip(*scored, strict=True)))
