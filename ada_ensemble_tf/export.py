"""Exports a trained model for TF Serving:

python -m ada_ensemble_tf.export --workdir=DIR [--export_dir=DIR] [--raw=FILE] [--weights=bfloat16]

The numbered folder appears once its scores have been found equal to those of the model in Python. The check uses rows
of --raw, or of the prepared data with ids turned back into text, or, without either, rows made from the vocabularies.
The same rows become the warm-up requests and are what `python -m ada_ensemble_tf.serving.load_test` sends.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from data_pipelines.errors import UserError, run_main
from data_pipelines.raw.files import HELP, raw_files

if TYPE_CHECKING:
    from ada_ensemble_tf.trained.workdir import Workdir
    from data_pipelines.fields.schema import Schema

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the training run.", required=True)
_EXPORT_DIR = flags.DEFINE_string("export_dir", None, "Where numbered versions go; WORKDIR/export by default.")
_RAW = flags.DEFINE_multi_string(
    "raw", [], f"Raw log whose first rows are checked and sent as warm-up requests: {HELP}."
)
_ROWS = flags.DEFINE_integer("rows", 256, "How many rows that is.", lower_bound=1, upper_bound=10_000)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared data; where it was in training by default.")
_NUMBERS = flags.DEFINE_enum(
    "example_numbers", "text", ["text", "native"], "Numbers in tf.Examples: the log's text, or int64 and float lists."
)
_WEIGHTS = flags.DEFINE_enum("weights", "float32", ["float32", "bfloat16", "float16"], "Type of stored embeddings.")
_PRUNE = flags.DEFINE_bool("prune_zero_rows", False, "Leave out embedding rows that are exactly zero.")

logger = logging.getLogger("ada_ensemble_tf.export")


def main(argv: Sequence[str]) -> None:
    """Exports, and prints where the SavedModel is."""
    del argv
    from ada_ensemble_tf.serving.publish import export
    from ada_ensemble_tf.serving.tables import Storage
    from ada_ensemble_tf.trained.workdir import Workdir
    from data_pipelines.file_names import path_inside

    workdir = Workdir(_WORKDIR.value)
    model, training = workdir.load_with_results()
    schema = workdir.schema()
    if not training:
        logger.warning("%s: training is not complete; the best weights so far are exported", workdir.path)
    storage = Storage(_WEIGHTS.value, _PRUNE.value)
    test = None
    if not storage.is_plain:
        test = workdir.open_data(_DATA_DIR.value).evaluation("test", workdir.config()["eval_batch_size"])
    folder = export(
        model,
        schema,
        workdir.path,
        _EXPORT_DIR.value or path_inside(workdir.path, "export"),
        columns=_rows(workdir, schema),
        storage=storage,
        example_numbers=_NUMBERS.value,
        training=training,
        config=workdir.config(),
        test=test,
    )
    print(f"SavedModel: {folder}")


def _rows(workdir: "Workdir", schema: "Schema") -> dict[str, list[str]] | None:
    """Raw columns of some rows; None if there are none."""
    from ada_ensemble_tf.evaluation.unknown_ids import UnknownFields
    from ada_ensemble_tf.inference.raw_text import raw_text
    from data_pipelines.fields.columns import texts
    from data_pipelines.fields.vocabulary import Vocabularies
    from data_pipelines.raw import RawReader
    from data_pipelines.read.inputs import ids_of, values_of

    if _RAW.value:
        for chunk in RawReader(schema.format, schema.fields, raw_files(_RAW.value), label="ignored"):
            columns = chunk.columns.slice(0, _ROWS.value)
            unknown = UnknownFields(schema, workdir.path)
            unknown.add(Vocabularies.load(workdir.path, schema).encode(columns))
            unknown.warn()
            return texts(columns).to_dict(as_series=False)
        raise UserError(f"--raw={','.join(_RAW.value)}: no rows")
    try:
        data = workdir.open_data(_DATA_DIR.value)
    except (UserError, OSError) as error:
        if _DATA_DIR.value:
            raise
        logger.info("rows are made from the vocabularies, because the prepared data is not available: %s", error)
        return None
    for inputs, *_ in data.evaluation("test", _ROWS.value).take(1):
        ids, values = ids_of(inputs).numpy(), values_of(inputs)
        return raw_text(Vocabularies.load(workdir.path, schema), ids, None if values is None else values.numpy())
    return None


if __name__ == "__main__":
    run_main(main)
