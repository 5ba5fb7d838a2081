"""The command line's say in how rows are split, and which raw files there are."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from data_pipelines.errors import UserError
from data_pipelines.fields.split_rules import SplitRule, shares
from data_pipelines.fields.times import time_form
from data_pipelines.raw.files import HELP, raw_files

_SPLIT_FILES = {
    "train": "In place of --raw, where files are split already: training files.",
    "validation": "Validation files, or a share of the --train rows, like 0.1.",
    "test": "Test files.",
}


class SplitFlags:
    """Defines the flags of raw files and splits."""

    def __init__(self) -> None:
        self._raw = flags.DEFINE_multi_string("raw", [], f"Raw log: {HELP}.")
        self._files = {name: flags.DEFINE_multi_string(name, [], text) for name, text in _SPLIT_FILES.items()}
        self._shares = flags.DEFINE_list("split", ["0.7", "0.1", "0.2"], "Shares of train, validation and test.")
        self._by = flags.DEFINE_string(
            "split_by", None, "Column of times, whose last shares are validation and test, or of names of splits."
        )
        self._time = flags.DEFINE_string("split_time", None, "Form of the times in --split_by, if it is not found.")
        self._group = flags.DEFINE_string(
            "split_group", None, "Column whose rows of one text, such as a user, stay together."
        )

    @property
    def given(self) -> bool:
        """Whether any flag says how to split."""
        flags_of_splits = (*self._files.values(), self._shares, self._by, self._group)
        return any(flag.present for flag in flags_of_splits)

    def rule(self) -> tuple[SplitRule, tuple[float, float, float], list[Path]]:
        """(what decides a row's split, shares of train, validation and test, raw files in order).

        Raises:
            UserError: flags contradict each other, or a file is missing.
        """
        if any(flag.value for flag in self._files.values()):
            rule, files = self._of_files()
        else:
            files = raw_files(self._raw.value)
            if not files:
                raise UserError("name the raw log as --raw, or files split already as --train, --validation and --test")
            rule = self._of_columns()
        given = ",".join(self._shares.value)
        if not rule.uses_shares and self._shares.present:
            raise UserError(f"--split={given} has no meaning with {rule}; leave it out")
        return rule, shares(self._shares.value), files

    def _of_columns(self) -> SplitRule:
        by, time, group = self._by.value, self._time.value, self._group.value
        if by is not None and group is not None:
            raise UserError(f"--split_by={by} and --split_group={group}: give one of them")
        for flag, value in (("split_by", by), ("split_group", group)):
            if value == "":
                raise UserError(f"--{flag} should name a column, got ''")
        if time is not None:
            if by is None:
                raise UserError(f"--split_time={time} is the form of the times in --split_by; name a column")
            try:
                time_form(time)
            except UserError as error:
                raise UserError(f"--split_time: {error}") from None
        if group is not None:
            return SplitRule("group", group)
        return SplitRule("column", by, time or "") if by is not None else SplitRule()

    def _of_files(self) -> tuple[SplitRule, list[Path]]:
        presplit = {name: flag.value for name, flag in self._files.items()}
        for flag, value in (("raw", self._raw.value), ("split_by", self._by.value), ("split_group", self._group.value)):
            if value:
                raise UserError(f"--{flag} and --{next(name for name in presplit if presplit[name])}: give one of them")
        share = _share_of_train(presplit["validation"])
        for name, values in presplit.items():
            if not values:
                also = " or a share of the --train rows, like 0.1" if name == "validation" else ""
                raise UserError(f"--{name} is missing: name its files{also}")
        found = {name: raw_files([] if share and name == "validation" else values) for name, values in presplit.items()}
        _check_once(found)
        train, validation, test = (len(files) for files in found.values())
        return SplitRule("files", files=(train, validation, test), validation_share=share), sum(found.values(), [])


def _check_once(found: dict[str, list[Path]]) -> None:
    """Raises UserError where a file is named twice, also by another path."""
    places: dict[Path, str] = {}
    for name, files in found.items():
        for file in files:
            first = places.setdefault(file.resolve(), name)
            if first != name or sum(other.resolve() == file.resolve() for other in files) > 1:
                raise UserError(f"{file}: is named twice, in --{first} and --{name}; each file belongs to one split")


def _share_of_train(values: Sequence[str]) -> float:
    """The share of the training rows that --validation asks for; 0 where it names files."""
    try:
        (share,) = (float(value) for value in values)
    except ValueError:
        return 0.0
    if Path(values[0]).exists():
        return 0.0
    if not 0 < share < 1:
        raise UserError(f"--validation={values[0]}: a share of the --train rows should be above 0 and below 1")
    return share
