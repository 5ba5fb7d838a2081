"""MODEL_CARD.md: describes an exported model, its quality, and how it handles odd requests."""

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
- Missing values (empty text, an absent feature of a tf.Example, NaN among numbers) get the field's level for missing
  values, or its out-of-vocabulary row if training had no missing values.
- Unseen text, oversized text and text of the wrong kind ("abc" among integers, an integer beyond 64 bits) get the
  field's out-of-vocabulary row; in a hashed field, any text gets its bucket's row. A number that is read as a value is
  clipped at ten standard deviations.
- If a multi-valued field gets more values than it has columns, only the first ones count.
- An error names the column if an input is missing, unknown or of the wrong type, if columns differ in length, if a
  feature of a tf.Example has the wrong type, or if a single-valued column has several values.
- An error names the field if an id is not one of the field's rows, or a value is not finite.
- The scores are calibrated to the clicks of the training data: check calibration again on other traffic."""


@dataclasses.dataclass(frozen=True)
class Card:
    """The content of a model card.

    Attributes:
        version: of the export.
        model: the model as served.
        schema: its fields.
        served: the signatures.
        example_numbers: how tf.Examples hold numbers, see `serving.examples`.
        training: the content of metrics.json, or {} if training is not complete.
        config: the training config, or {}.
        parity: a sentence about the rows that were compared.
        storage: sentences about how the weights were stored.
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
            "calibration": str(self.model.calibration) if self.model.calibration else None,
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
            numbers = " | ".join(
                _figure(figures.get(key), ".5f") or "none" for key in ("auc", "logloss", "calibration")
            )
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
            cells = [field.name, " x ".join(field.crossed), "", ""]
            if not field.crossed:
                cells = [field.name, field.column, self.served.arguments[field.column], types[field.column].name]
            lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} | {field.transform} | {field.size:,} |")
        return lines


def hash_of(config: Mapping[str, Any]) -> str:
    """A hash of a config, 16 hex digits."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()[:16]


def _figure(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)


def _tensors(tensors: Mapping[str, Any]) -> str:
    shapes = {name: ", ".join("B" if size is None else str(size) for size in t.shape) for name, t in tensors.items()}
    return ", ".join(f"`{name}` {tensors[name].dtype.name} [{shapes[name]}]" for name in tensors)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
