"""An exported model and what it was made from."""

from pathlib import Path
from typing import NamedTuple

from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.serving.golden_rows import GoldenRows
from ada_ensemble_tf.serving.publish import export
from ada_ensemble_tf.serving.session import ServingSession
from data_pipelines.fields.vocabulary import Vocabularies


class Served(NamedTuple):
    """An export, loaded."""

    model: CTRModel
    vocabularies: Vocabularies
    folder: Path
    session: ServingSession
    rows: GoldenRows


def serve(model: CTRModel, vocabularies: Vocabularies, data_dir, export_dir, **arguments) -> Served:
    """Exports and loads a model; `arguments` are those of `export`."""
    folder = export(model, vocabularies.schema, data_dir, export_dir, **arguments)
    return Served(model, vocabularies, folder, ServingSession(folder), GoldenRows.load(folder))
