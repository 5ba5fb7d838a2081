"""MODEL_CARD.md: what an exported model is, how good it is, and what it does with odd requests."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.serving.examples import feature_types
from ada_ensemble_tf.serving.signatures import ServedModel
from data_pipelines.fields.schema import Schema
from data_pipelines.json_files import canonical_json

FILE = "MODEL_CARD.md"
LIMITS = """\
- Missing (empty text, an absent feature of a tf.Example; NaN among numbers): the field's level for missing values, or
  its out-of-vocabulary row where training had none.
- Unseen, oversized, and text that is not of the column's kind ("abc" among integers, an integer beyond 64 bits): the
  field's out-of-vocabulary row. A number that is read as a value is cut off at ten standard deviations.
- Of more values than a multi-valued field has columns, the first ones count.
- An error that names the column: an input that is missing, unknown or of another type, columns of different lengths, a
  feature of a tf.Example of another type, and several values where the column has one.
- An error that names the field: an id that is not one of the field's rows, a value that is not finite.
- The scores are calibrated to the clicks of the training data: look at calibration again on rows of other traffic."""


@dataclasses.dataclass(frozen=True)
class Card:
    """What a card tells.

    Attributes:
        version: of the export.
        model: as it is served.
        schema: its fields.
        served: the signatures.
        example_numbers: what tf.Examples hold of numbers.
        training: what metrics.json holds, or {} where training is not complete.
        config: that it was trained with, or {}.
        parity: a sentence on the rows that were compared.
        storage: sentences on what was done to the weights.
    """

    version: str
    model: CTRModel
    schema: Schema
    served: ServedModel
    example_numbers: str
    training: Mapping[str, Any]
    config: Mapping[str, Any]
    parity: str
    storage: Sequence[str]

    def text(self) -> str:
        """The card, in Markdown."""
        sections = {
            f"{self.model.name}, version {self.version}": self._about(),
            "How good it is": self._metrics(),
            "What it is asked": self._signatures(),
            "What it reads": self._fields(),
            "What it does with odd requests, and what it does not know": [LIMITS],
            "How it was checked and stored": [self.parity, *self.storage],
        }
        parts = []
        for number, (title, lines) in enumerate(sections.items()):
            parts += [f"{'#' if number == 0 else '##'} {title}", "", *lines, ""]
        return "\n".join(parts)

    def _about(self) -> list[str]:
        trained = self.training.get("versions", {})
        facts = {
            "task": f"click-through rate of `{self.schema.dataset}` rows",
            "parameters": f"{self.training['parameters']:,}" if "parameters" in self.training else None,
            "FLOPs per row, as routed": _figure(self.training.get("flops_per_example"), ",.0f"),
            "data fingerprint": self.training.get("data_fingerprint"),
            "schema fingerprint": self.schema.fingerprint(),
            "config hash": hash_of(self.config) if self.config else None,
            "best step": self.training.get("best_step"),
            "trained with": ", ".join(f"{name} {version}" for name, version in trained.items()) or None,
            "exported with": f"tensorflow {tf.__version__}, keras {keras.__version__}",
        }
        return ["| | |", "|---|---|"] + [f"| {name} | {fact} |" for name, fact in facts.items() if fact is not None]

    def _metrics(self) -> list[str]:
        splits = [split for split in ("validation", "test") if split in self.training]
        if not splits:
            return ["Not known: training was not complete when this was exported."]
        lines = ["| split | rows | AUC | LogLoss | calibration |", "|---|---|---|---|---|"]
        for split in splits:
            figures = self.training[split]
            numbers = " | ".join(_figure(figures.get(key), ".5f") for key in ("auc", "logloss", "calibration"))
            lines.append(f"| {split} | {figures['rows']:,} | {numbers} |")
        return lines

    def _signatures(self) -> list[str]:
        lines = ["| signature | inputs | outputs |", "|---|---|---|"]
        for name, function in self.served.functions.items():
            raw = name in ("serving_default", "explain")
            takes = "the raw columns, string [B] each" if raw else _tensors(self.served.inputs[name])
            lines.append(f"| `{name}` | {takes} | {_tensors(function.structured_outputs)} |")
        choices = self.model.choice_names() if "explain" in self.served.functions else {}
        places = {place: names for place, names in choices.items() if place != "depth"}
        return lines + ["", *(f"- `gates_{place}`: {', '.join(names)}" for place, names in places.items())]

    def _fields(self) -> list[str]:
        types = feature_types(self.schema, self.example_numbers)
        lines = ["| field | raw column | input | tf.Example | rule | rows |", "|---|---|---|---|---|---|"]
        for field in self.schema.fields:
            cells = [field.name, field.column, self.served.arguments[field.column], types[field.column].name]
            lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} | {field.transform} | {field.size:,} |")
        return lines


def hash_of(config: Mapping[str, Any]) -> str:
    """16 hex digits that differ between configs."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()[:16]


def _figure(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)


def _tensors(tensors: Mapping[str, Any]) -> str:
    shapes = {name: ", ".join("B" if size is None else str(size) for size in t.shape) for name, t in tensors.items()}
    return ", ".join(f"`{name}` {tensors[name].dtype.name} [{shapes[name]}]" for name in tensors)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
