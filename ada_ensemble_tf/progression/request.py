"""What is asked for: the days, how they are prepared, and the config that trains on them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ada_ensemble_tf.trained.run_files import flat
from data_pipelines.errors import UserError
from data_pipelines.json_files import load_json, save_json
from data_pipelines.read.preparation import Options, RawFile

FILE = "request.json"
MODES = ("continue", "anew")
"""Each day the model of the day before goes on, or a new one is trained on all days so far."""


@dataclasses.dataclass(frozen=True)
class Request:
    """Days, preparation and training.

    Attributes:
        days: raw files in order, one a day.
        options: how each is prepared.
        retire_after: see `prepare --retire_after`; of "continue".
        config: the config of every training.
    """

    days: tuple[Path, ...]
    options: Options
    retire_after: int
    config: dict[str, Any]

    def __post_init__(self) -> None:
        """Raises UserError if there is nothing to test, a day is named twice or the log's labels are elsewhere."""
        if len(self.days) < 2:
            raise UserError(f"--days: {len(self.days)} file; the first day only trains, so at least two are needed")
        for number, day in enumerate(self.days):
            if day.resolve() in [other.resolve() for other in self.days[:number]]:
                raise UserError(f"--days: {day} is named twice; name each day once, in order")
        if self.options.format.click_key:
            raise UserError(f"--dataset={self.options.format.name}: labels are in click logs, which days cannot name")

    def claim(self, out: Path) -> None:
        """Records the request in a directory, or checks that it holds this one, perhaps of fewer days.

        Raises:
            UserError: the directory holds another request; it names what differs.
        """
        asked = self._content()
        if (out / FILE).exists():
            found = load_json(out / FILE, dict[str, Any])
            for name in ("options", "retire_after", "config"):
                there, here = (flat({name: content.get(name)}) for content in (found, asked))
                for key in sorted(there.keys() | here.keys()):
                    if there.get(key) != here.get(key):
                        was, now = there.get(key), here.get(key)
                        raise UserError(f"{out}: was begun with {key}={was!r}, now {now!r}; choose another --out")
            before = found.get("days", [])
            for number, (old, new) in enumerate(zip(before, asked["days"], strict=False), start=1):
                if old != new:
                    raise UserError(
                        f"{out}: day {number} was {old.get('name')}, now {new['name']} (or its content changed); "
                        "choose another --out"
                    )
            if len(before) > len(asked["days"]):
                return
        save_json(out / FILE, asked)

    def _content(self) -> dict[str, Any]:
        return {
            "days": [dataclasses.asdict(RawFile.of(day)) for day in self.days],
            "options": msgspec.to_builtins(self.options),
            "retire_after": self.retire_after,
            "config": self.config,
        }


def day_folder(out: Path, mode: str, number: int) -> Path:
    """Where the work of a day goes, counted from 1. The first day is the same in all modes and done once for them."""
    return out / ("first" if number == 1 else mode) / f"day_{number:02d}"


def check_modes(mode: str) -> Sequence[str]:
    """The modes of --mode."""
    return MODES if mode == "both" else (mode,)
