"""Notes of preparation on fields that tell a model little and on names that prevent an export."""

from collections.abc import Sequence

from data_pipelines.fields.declarations import Input
from data_pipelines.fields.schema import Field, Schema
from data_pipelines.fields.served_names import collision


def notes(schema: Schema, inputs: Sequence[Input]) -> list[str]:
    """A line for each field that tells little, and one for columns whose names no exported model can have.

    Args:
        schema: as prepared.
        inputs: the same fields as they were declared.
    """
    found = [_note(field, one) for field, one in zip(schema.fields, inputs, strict=True)]
    lines = [f"field {field.name}: {note}" for field, note in zip(schema.fields, found, strict=True) if note]
    return [*lines, line] if (line := not_exportable(schema.columns)) else lines


def not_exportable(columns: Sequence[str]) -> str | None:
    """The note on columns whose names cannot both be inputs of an exported model; None if there are no such columns."""
    reason = collision(columns)
    return reason and f"{reason}, so a model of this data cannot be exported; rename one of them in the log"


def few_bins(bins: int, asked: int) -> str | None:
    """The note on fewer than half of the equal-frequency bins asked for; None if there are more."""
    if 2 * bins >= asked:
        return None
    values = f"{bins} different numbers" if bins > 1 else "one number"
    return f"only {bins} of {asked} bins: the training rows hold {values}; ask for fewer, or make it categorical"


def _note(field: Field, one: Input) -> str | None:
    if field.has_value:
        mean, deviation = field.parameters
        return None if deviation else f"is {mean:g} or missing in all training rows, so it tells little; leave it out"
    if field.size <= 2:
        levels = "only one level" if field.size == 2 else "no level"
        return f"{levels} is frequent enough for a row of its own, so it tells little"
    return few_bins(len(field.parameters) + 1, one.bins) if one.bins else None
