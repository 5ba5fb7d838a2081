"""How preparation keeps within `--memory_gb`.

Measurement (experiments/benchmarks/preparation.py) shows what takes memory: the libraries; about `_CHUNK_FACTOR` times
the text of a chunk while it is parsed, counted and encoded; the counts, which are kept within a budget; the
vocabularies, once those of all fields are known; and two copies of a bucket of the shuffle.
"""

import dataclasses
import os

from data_pipelines.errors import UserError
from data_pipelines.raw.lines import CHUNK_BYTES

DEFAULT_GB = 3.0
_GIB = 1 << 30
_LIBRARIES = 450 << 20
_MIN_CHUNK_BYTES = 1 << 20
_CHUNK_FACTOR = 16
_COUNT_BYTES = 96 << 20
"""A larger budget would keep more levels for longer. It would not speed counting up once there are too many."""
_LEVEL_BYTES = 120
"""Bytes of memory for each level that is kept: its text, its place in the index, and room to sort."""


@dataclasses.dataclass(frozen=True)
class MemoryPlan:
    """How the memory is shared out.

    Attributes:
        chunk_bytes: bytes of raw text parsed at once.
        count_bytes: bytes that the counts of levels may take.
        max_levels: the most levels that all vocabularies together may have.
    """

    chunk_bytes: int
    count_bytes: int
    max_levels: int

    @classmethod
    def within(cls, memory_gb: float) -> "MemoryPlan":
        """Shares out `memory_gb` (GiB). Raises UserError if it is too little, or more than the machine has."""
        least = (_LIBRARIES + 2 * _CHUNK_FACTOR * _MIN_CHUNK_BYTES + (256 << 20)) / _GIB
        if memory_gb < least:
            raise UserError(f"--memory_gb={memory_gb:g} is too small: at least {least:.2f} is needed")
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
        if memory_gb > there:
            raise UserError(f"--memory_gb={memory_gb:g} is more than this machine has ({there:.1f})")
        room = int(memory_gb * _GIB) - _LIBRARIES
        chunk = min(CHUNK_BYTES, room // (3 * _CHUNK_FACTOR))
        return cls(max(chunk, _MIN_CHUNK_BYTES), min(_COUNT_BYTES, room // 6), room // 3 // _LEVEL_BYTES)

    def check_levels(self, levels: int) -> None:
        """Raises UserError if the vocabularies would not fit."""
        if levels > self.max_levels:
            more = (levels - self.max_levels) * 3 * _LEVEL_BYTES / _GIB
            raise UserError(
                f"{levels:,} levels are too many for the memory given (about {self.max_levels:,} fit); "
                f"raise --min_count, or --memory_gb by {more:.1f}"
            )
