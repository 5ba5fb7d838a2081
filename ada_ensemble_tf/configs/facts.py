"""What a config may know of the prepared data, and how a config file is told.

A config file whose function is `get_config(model, facts)` makes its config for the prepared data: commands call it with
`Facts` once they know the data, and without while they only read the command line. Functions of the model alone are as
good.
"""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from data_pipelines.fields.schema import Schema
from data_pipelines.read.preparation import Preparation, load_complete

SHOWN = (
    "batch_size", "max_epochs", "eval_every", "patience", "monitor", "average_last", "calibration", "training",
    "model.dimension", "model.hidden_units", "model.num_layers", "model.dropout", "model.l2",
    "model.normalization", "model.embedding_normalization", "model.anneal_epochs",
    "embedding_optimizer.name", "embedding_optimizer.learning_rate", "embedding_optimizer.l2",
    "weight_optimizer.learning_rate", "gate_optimizer.learning_rate",
)  # fmt: skip
"""The keys that `described` shows, where the config has them."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of prepared data before training.

    Attributes:
        rows: rows of the training split.
        positives: those of them with label 1.
        fields: F, the number of fields.
        levels: V, the rows of the table that all fields share: the levels that reached the threshold, and one row for
            the other levels of each field.
    """

    rows: int
    positives: int
    fields: int
    levels: int

    @classmethod
    def of(cls, schema: Schema, preparation: Preparation) -> "Facts":
        """The facts about a prepared directory."""
        rows, positives = preparation.rows["train"], preparation.positives["train"]
        return cls(rows, positives, schema.num_fields, schema.num_rows)

    @classmethod
    def load(cls, data_dir: str | Path) -> "Facts":
        """Reads schema.json and preparation.json. Raises UserError where the directory is not complete."""
        return cls.of(*load_complete(data_dir))

    def __str__(self) -> str:
        """The facts in words."""
        share = self.positives / max(1, self.rows)
        return f"{self.rows:,} training rows ({share:.1%} positive), {self.fields} fields, {self.levels:,} levels"


def reads_facts(get_config: Callable[..., ConfigDict]) -> bool:
    """Whether a config file's function takes facts."""
    return "facts" in inspect.signature(get_config).parameters


def made_for(get_config: Callable[..., ConfigDict], model: str, facts: Facts | None) -> ConfigDict:
    """The config of a model, made for the prepared data where the function takes facts."""
    return get_config(model, facts=facts) if facts is not None and reads_facts(get_config) else get_config(model)


def described(config: ConfigDict, facts: Facts) -> str:
    """What a training is about to use: the facts, then a line for each value that may depend on them."""
    lines = [f"config of {config.model.name} for {facts}:"]
    for key in SHOWN:
        part, _, name = key.rpartition(".")
        value = (config[part] if part else config).get(name)
        if value is not None:
            lines.append(f"  {key}={value:.4g}" if isinstance(value, float) else f"  {key}={value}")
    return "\n".join(lines)
