"""When a model was trained and for how long, from the times in the event files that training left for TensorBoard."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipelines.progress import duration


class Session(NamedTuple):
    """One process's part of a training: seconds since 1970 at its first and its last event."""

    began: float
    ended: float


def read_sessions(folder: Path) -> list[Session]:
    """The sessions of a TensorBoard run, in order; a process that was killed counts up to its last report."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        times = [event.wall_time for event in EventFileLoader(str(file)).Load()]
        if times:
            found.append(Session(min(times), max(times)))
    return sorted(found)


def seconds(sessions: Sequence[Session]) -> float:
    """The time spent in all of them, evaluations and the building of the graph included."""
    return sum(one.ended - one.began for one in sessions)


def describe(sessions: Sequence[Session]) -> dict[str, str]:
    """When training ended and how long it took, by what they are; {} if no session is known."""
    if not sessions:
        return {}
    ended = datetime.datetime.fromtimestamp(sessions[-1].ended, datetime.timezone.utc)
    several = f" in {len(sessions)} sessions" if len(sessions) > 1 else ""
    return {
        "trained": f"{ended:%Y-%m-%d %H:%M} UTC",
        "training time": f"{duration(seconds(sessions))}{several}, evaluations included",
    }
