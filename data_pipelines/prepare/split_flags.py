"""The command line's say in how rows are split, and which raw files there are."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from data_pipelines.errors import UserError
from data_pipelines.fields.split_rules import SplitRule, shares
from data_pipelines.fields.times import time_form
from data_pipelines.raw.files import HELP, raw_files

_RAW = flags.DEFINE_multi_string("raw", [], f"Raw log: {HELP}.")
_TRAIN = flags.DEFINE_multi_string("train", [], "In place of --raw, where files are split already: training files.")
_VALIDATION = flags.DEFINE_multi_string("validation", [], "Validation files, or a share of the --train rows, like 0.1.")
_TEST = flags.DEFINE_multi_string("test", [], "Test files.")
_SPLIT = flags.DEFINE_list("split", ["0.7", "0.1", "0.2"], "Shares of train, validation and test.")
_SPLIT_BY = flags.DEFINE_string(
    "split_by", None, "Column of times, whose last shares are validation and test, or of train, validation and test."
)
_SPLIT_TIME = flags.DEFINE_string("split_time", None, "Form of the times in --split_by, if it is not found.")
_SPLIT_GROUP = flags.DEFINE_string("split_group", None, "Column whose rows of one text, such as a user, stay together.")


def split_rule() -> tuple[SplitRule, tuple[float, float, float], list[Path]]:
    """(what decides a row's split, shares of train, validation and test, raw files in order).

    Raises:
        UserError: flags contradict each other, or a file is missing.
    """
    presplit = {"train": _TRAIN.value, "validation": _VALIDATION.value, "test": _TEST.value}
    if any(presplit.values()):
        rule, files = _of_files(presplit)
    else:
        files = raw_files(_RAW.value)
        if not files:
            raise UserError("name the raw log as --raw, or files split already as --train, --validation and --test")
        rule = _of_columns()
    if not rule.uses_shares and flags.FLAGS["split"].present:
        raise UserError(f"--split={','.join(_SPLIT.value)} has no meaning with {rule}; leave it out")
    return rule, shares(_SPLIT.value), files


def _of_columns() -> SplitRule:
    if _SPLIT_BY.value is not None and _SPLIT_GROUP.value is not None:
        raise UserError(f"--split_by={_SPLIT_BY.value} and --split_group={_SPLIT_GROUP.value}: give one of them")
    for flag, value in (("split_by", _SPLIT_BY.value), ("split_group", _SPLIT_GROUP.value)):
        if value == "":
            raise UserError(f"--{flag} should name a column, got ''")
    if _SPLIT_TIME.value is not None:
        if _SPLIT_BY.value is None:
            raise UserError(f"--split_time={_SPLIT_TIME.value} is the form of the times in --split_by; name a column")
        try:
            time_form(_SPLIT_TIME.value)
        except UserError as error:
            raise UserError(f"--split_time: {error}") from None
    if _SPLIT_GROUP.value is not None:
        return SplitRule("group", _SPLIT_GROUP.value)
    return SplitRule("column", _SPLIT_BY.value, _SPLIT_TIME.value or "") if _SPLIT_BY.value is not None else SplitRule()


def _of_files(presplit: dict[str, list[str]]) -> tuple[SplitRule, list[Path]]:
    for flag, value in (("raw", _RAW.value), ("split_by", _SPLIT_BY.value), ("split_group", _SPLIT_GROUP.value)):
        if value:
            raise UserError(f"--{flag} and --{next(name for name in presplit if presplit[name])}: give one of them")
    share = _share_of_train(presplit["validation"])
    for name, values in presplit.items():
        if not values:
            also = " or a share of the --train rows, like 0.1" if name == "validation" else ""
            raise UserError(f"--{name} is missing: name its files{also}")
    found = {name: raw_files([] if share and name == "validation" else values) for name, values in presplit.items()}
    places: dict[Path, str] = {}
    for name, files in found.items():
        for file in files:
            # Also the same file by two names.
            first = places.setdefault(file.resolve(), name)
            if first != name or sum(other.resolve() == file.resolve() for other in files) > 1:
                raise UserError(f"{file}: is named twice, in --{first} and --{name}; each file belongs to one split")
    train, validation, test = (len(files) for files in found.values())
    return SplitRule("files", files=(train, validation, test), validation_share=share), sum(found.values(), [])


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
