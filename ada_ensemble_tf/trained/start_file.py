"""start.json: what a training began from, if not from new weights; read without TensorFlow."""

import dataclasses
from pathlib import Path
from typing import Literal

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.json_files import load_json, save_json

START_FILE = "start.json"
_FLAGS = {"continued": "--continue_from", "warm": "--warm_start"}


@dataclasses.dataclass(frozen=True)
class Start:
    """What a training began from.

    Attributes:
        kind: "new" weights, those of a training that is "continued", or a "warm" start from another one's.
        workdir: the other training's directory; "" for new weights.
        fingerprint: of the data that the other was trained on.
        step: weight updates that had been made.
        first_step: the weight update that read, or would have read, the first rows of the data. It is `step` for new
            data, and before it if a training goes on with the data that it had.
    """

    kind: Literal["new", "continued", "warm"] = "new"
    workdir: str = ""
    fingerprint: str = ""
    step: int = 0
    first_step: int = 0

    def __post_init__(self) -> None:
        """Raises UserError for steps that no training has."""
        if not 0 <= self.first_step <= self.step:
            raise UserError(f"first_step should be at least 0 and at most step, got {self.first_step} and {self.step}")

    def save(self, folder: Path) -> None:
        """Writes start.json, or removes it where weights are new."""
        if self.kind == "new":
            Checksums(folder).remove(START_FILE)
        else:
            save_json(folder / START_FILE, dataclasses.asdict(self))


def load_start(folder: Path) -> Start:
    """What start.json of a working directory says. Raises UserError where it is damaged or malformed."""
    path = Path(folder) / START_FILE
    return load_json(path, Start) if path.exists() else Start()


def flag_of(kind: str, workdir: str | Path) -> str:
    """The flag that asks for a start, with its value."""
    return f"{_FLAGS[kind]}={workdir}"


def check_same_start(folder: Path, kind: str | None, workdir: str | Path | None) -> Start:
    """The start of a training that has a checkpoint.

    Args:
        folder: its working directory.
        kind: what is asked for: "continued" or "warm"; None if nothing is.
        workdir: of the training to begin from.

    Raises:
        UserError: it began from something else.
    """
    start = load_start(folder)
    if kind is None or workdir is None:
        return start
    if start.kind == "new":
        raise UserError(
            f"{folder}: began with new weights, not with {flag_of(kind, workdir)}; choose another --workdir"
        )
    if (start.kind, Path(start.workdir)) != (kind, Path(workdir).absolute()):
        there, asked = flag_of(start.kind, start.workdir), flag_of(kind, workdir)
        raise UserError(f"{folder}: began with {there}, not with {asked}; choose another --workdir")
    return start
