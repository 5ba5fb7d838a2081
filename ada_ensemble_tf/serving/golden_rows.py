"""Rows with known scores, which a SavedModel must reproduce. Checks and warm-up requests are made from them."""

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.inference.raw_scores import encoded
from ada_ensemble_tf.inference.raw_text import UNSEEN
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.serving.examples import as_carried, make_examples
from data_pipelines.checksums import Checksums, way_out_of
from data_pipelines.errors import UserError
from data_pipelines.fields.columns import coded
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.served_names import argument_names
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.json_files import as_type, parse_json, shortened
from data_pipelines.read.inputs import named

ODD_TEXTS = ("", UNSEEN, "x" * 2000, "-9223372036854775809", "1e400")
"""Missing, unseen, oversized and out-of-range text; each gives a row with this text in all columns."""
FILE = "assets.extra/golden_rows.json"


@dataclasses.dataclass(frozen=True)
class GoldenRows:
    """Rows in all the forms that signatures take, with their scores.

    Attributes:
        columns: texts by the signatures' names for the columns.
        examples: the rows as serialized tf.Examples.
        inputs: "ids" and, if the schema has value fields, "values".
        ctr: float32 [n], scores from the model in Python.
        real: how many rows came from data; the odd rows follow them.
    """

    columns: Mapping[str, Sequence[str]]
    examples: Sequence[bytes]
    inputs: Mapping[str, np.ndarray]
    ctr: np.ndarray
    real: int

    def feed(self, signature: str, rows: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
        """A signature's inputs for some of the rows, by name."""
        if signature == "ids":
            return {name: array[rows] for name, array in self.inputs.items()}
        if signature in ("examples", "classify", "regress"):
            name = "examples" if signature == "examples" else "inputs"
            return {name: np.array([self.examples[i] for i in rows], object)}
        return {name: np.array([text[i].encode() for i in rows], object) for name, text in self.columns.items()}

    def save(self, folder: Path) -> None:
        """Writes `FILE` under a SavedModel's folder."""
        value = {
            "columns": dict(self.columns),
            "examples": [base64.b64encode(example).decode() for example in self.examples],
            "inputs": {name: array.tolist() for name, array in self.inputs.items()},
            "ctr": self.ctr.tolist(),
            "real": self.real,
        }
        Checksums(folder).write({FILE: (json.dumps(value, allow_nan=False) + "\n").encode()})

    @classmethod
    def load(cls, folder: Path) -> "GoldenRows":
        """Reads `FILE`; raises UserError if it is missing, damaged or malformed."""
        path, way_out = str(Path(folder) / FILE), way_out_of(folder)
        value = as_type(parse_json(Checksums(folder).read(FILE), path, way_out), _File, path, way_out)
        try:
            inputs = {"ids": np.array(value.inputs["ids"], np.int32)}
            if "values" in value.inputs:
                inputs["values"] = np.array(value.inputs["values"], np.float32)
            examples = [base64.b64decode(example, validate=True) for example in value.examples]
            rows = cls(value.columns, examples, inputs, np.array(value.ctr, np.float32), value.real)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: malformed ({error!r}); {way_out}") from None
        for name, part in [*rows.columns.items(), *rows.inputs.items(), ("examples", rows.examples)]:
            if len(part) != len(rows.ctr):
                raise UserError(f"{path}: {name} has {len(part)} rows, but ctr has {len(rows.ctr)}; {way_out}")
        if not 0 <= rows.real <= len(rows.ctr):
            raise UserError(f"{path}: real: {shortened(rows.real)} of {len(rows.ctr)} rows; {way_out}")
        return rows


@dataclasses.dataclass(frozen=True)
class _File:
    columns: dict[str, list[str]]
    examples: list[str]
    inputs: dict[str, list[list[int | float]]]
    ctr: list[float]
    real: int


def golden_rows(
    model: CTRModel,
    schema: Schema,
    vocabularies: Vocabularies,
    columns: Mapping[str, Sequence[str]],
    example_numbers: str = "text",
) -> GoldenRows:
    """The rows of raw columns, followed by odd rows, scored by the model in Python from preparation's ids.

    Args:
        model: as it will be served.
        schema: the fields.
        vocabularies: the fields' levels.
        columns: texts by raw column.
        example_numbers: see `serving.examples`; with "native", columns are stored as tf.Examples carry them.
    """
    real = len(next(iter(columns.values())))
    columns = {column: [*columns[column], *ODD_TEXTS] for column in schema.columns}
    columns = as_carried(columns, schema, example_numbers)
    inputs = encoded(vocabularies, coded(columns))
    names = argument_names(schema.columns)
    return GoldenRows(
        columns={names[column]: text for column, text in columns.items()},
        examples=make_examples(columns, schema, example_numbers),
        inputs=named(inputs),
        ctr=model(tf.nest.map_structure(tf.constant, inputs)).numpy(),
        real=real,
    )
