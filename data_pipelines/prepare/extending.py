"""A preparation that extends an earlier one: what it takes over, and what changes."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import TIME_TRANSFORMS, Input
from data_pipelines.fields.extension import UNSEEN_FILE, Base, changes, unseen_of
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.prepare.sameness import fields_text
from data_pipelines.read.preparation import Extension, Options, Preparation, load_complete


@dataclasses.dataclass(frozen=True)
class Old:
    """The prepared data that are extended.

    Attributes:
        path: their directory.
        preparation: how they were made.
        base: their vocabularies.
    """

    path: Path
    preparation: Preparation
    base: Base

    def options(self, wanted: Options) -> Options:
        """The options of a preparation that extends these data.

        Raises:
            UserError: its format, a field, or the seed of fields that are hashed is another.
        """
        options = self.preparation.options
        named = dataclasses.replace(wanted, inputs=_with_known_forms(wanted.inputs, options.inputs))
        # New levels may bring new files of vectors.
        if (named.format, _without_files(named.inputs)) != (options.format, _without_files(options.inputs)):
            there, asked = fields_text(options, named), fields_text(named, options)
            raise UserError(
                f"{self.path}: was prepared as {there}, not {asked}; an extension has the same fields: prepare all "
                "rows anew without --extend"
            )
        if wanted.seed != options.seed:
            raise UserError(
                f"{self.path}: was prepared with --seed={options.seed}, not {wanted.seed}; leave out --seed: an "
                "extension has the same"
            )
        return dataclasses.replace(named, extends=self.preparation.fingerprint(), retire_after=self.base.retire_after)

    def extension(self, new: Vocabularies) -> Extension:
        """What changed, for preparation.json."""
        before = self.preparation.extension
        of = (self.preparation.fingerprint(), *(before.of if before is not None else ()))
        found = changes(self.base.levels, new)
        return Extension(
            of,
            {name: appended for name, (appended, _) in found.items() if appended},
            {name: reused for name, (_, reused) in found.items() if reused},
        )


def load_old(data_dir: str | Path, retire_after: int = 0) -> Old:
    """Reads prepared data to extend.

    Args:
        data_dir: their directory.
        retire_after: see `Base`.

    Raises:
        UserError: it is not complete or damaged, or `retire_after` is below 0.
    """
    if retire_after < 0:
        raise UserError(f"--retire_after should be at least 1, or 0 for never; got {retire_after}")
    path = Path(data_dir)
    schema, preparation = load_complete(path)
    levels = Vocabularies.load(path, schema).levels
    content = Checksums(path).read(UNSEEN_FILE) if preparation.extension is not None else None
    unseen = unseen_of(content, levels, schema, str(path / UNSEEN_FILE))
    return Old(path, preparation, Base(schema, levels, unseen, retire_after))


def extension_lines(extension: Extension, retire_after: int) -> Iterator[str]:
    """What an extension changed, in words."""
    for numbers, what in ((extension.appended, "new levels have new rows"), (extension.reused, "new levels have rows")):
        if numbers:
            fields = ", ".join(f"{name} {count:,}" for name, count in numbers.items())
            of = "" if numbers is extension.appended else f" of levels unseen for {retire_after} preparations"
            yield f"{sum(numbers.values()):,} {what}{of}: {fields}"
    if not extension.appended and not extension.reused:
        yield "no new levels"


def given_or_old(flag: Any, old: Any) -> Any:
    """A flag's value if it was given, else the earlier preparation's."""
    return flag.value if flag.present else old


def _with_known_forms(inputs: Sequence[Input], known: Sequence[Input]) -> tuple[Input, ...]:
    """The fields; time fields that declare no form get the one that was found for the earlier log."""
    forms = {one.name: one.reading.time for one in known if one.transform in TIME_TRANSFORMS}
    return tuple(
        dataclasses.replace(one, reading=dataclasses.replace(one.reading, time=forms[one.name]))
        if one.transform in TIME_TRANSFORMS and not one.reading.time and one.name in forms
        else one
        for one in inputs
    )


def _without_files(inputs: Sequence[Input]) -> list[Input]:
    """The fields, of whose vectors only that there are any is left."""
    return [dataclasses.replace(one, vectors="-" if one.vectors else "", vectors_hash="") for one in inputs]
