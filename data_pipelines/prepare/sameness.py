"""Whether a prepared directory holds the data that are asked for, and how they differ."""

import dataclasses
from pathlib import Path

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.read.preparation import FILE_NAME, Options, RawFile, load_complete


def check_same(
    final: Path,
    options: Options,
    raw: tuple[RawFile, ...],
    clicks: tuple[RawFile, ...],
    max_bad_rows: int,
) -> None:
    """Raises UserError, naming the difference, if a directory does not hold the data that are asked for."""
    way_out = "choose another --data_dir or delete it"
    if not (final / FILE_NAME).is_file():
        raise UserError(f"{final}: exists and is not a prepared data directory; {way_out}")
    _, found = load_complete(final)
    if found.options.format != options.format or found.options.inputs != options.inputs:
        there, asked = (fields_text(one, other) for one, other in ((found.options, options), (options, found.options)))
        raise UserError(f"{final}: was prepared as {there}, not {asked}; {way_out}")
    if found.options.split_rule != options.split_rule:
        rules = f"{found.options.split_rule}, not {options.split_rule}"
        raise UserError(f"{final}: was prepared with {rules}; {way_out}")
    if found.options.extends != options.extends:
        extended = found.options.extends, options.extends
        there, asked = (f"an extension of data with fingerprint {one}" if one else "no extension" for one in extended)
        raise UserError(f"{final}: was prepared as {there}, not as {asked}; {way_out}")
    for name in ("min_count", "split", "seed", "block_rows", "negative_rate", "retire_after"):
        there, asked = getattr(found.options, name), getattr(options, name)
        if there != asked:
            raise UserError(f"{final}: was prepared with --{name}={there}, not {asked}; {way_out}")
    if found.raw != raw or found.clicks != clicks:
        names = [
            ", ".join(f"{file.name} ({file.size:,} bytes)" for file in files)
            for files in (found.raw + found.clicks, raw + clicks)
        ]
        raise UserError(f"{final}: was prepared from {names[0]}, not from this {names[1]}; {way_out}")
    if found.bad_rows > max_bad_rows:
        raise UserError(f"{final}: was prepared leaving out {found.bad_rows} bad rows, more than allowed; {way_out}")


def fields_text(one: Options, other: Options) -> str:
    """Describes the data set and its differences from the other: in the format and in the first field that differs."""
    text = f"{one.format.name} of {len(one.inputs)} fields"
    if one.format != other.format and one.format.name == other.format.name:
        text += f" with {_own(one.format, other.format)}"
    if (own := next((field for field in one.inputs if field not in other.inputs), None)) is not None:
        same = next((field for field in other.inputs if field.name == own.name), None)
        text += f" with {own.name} ({own.transform if same is None else _own(own, same)})"
    elif one.inputs != other.inputs and len(one.inputs) == len(other.inputs):
        pairs = zip(one.inputs, other.inputs, strict=True)
        place, name = next((i, a.name) for i, (a, b) in enumerate(pairs, start=1) if a != b)
        text += f" with {name} as field {place}"
    return text


def _own(one: RawFormat | Input, other: RawFormat | Input) -> str:
    """The attributes of one whose values differ in the other."""
    names = [field.name for field in dataclasses.fields(one)]
    return ", ".join(f"{name}={getattr(one, name)!r}" for name in names if getattr(one, name) != getattr(other, name))
