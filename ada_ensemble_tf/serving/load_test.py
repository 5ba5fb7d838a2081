"""Loads an exported model as TF Serving does and calls every signature, with many batch sizes, from many threads.

python -m ada_ensemble_tf.serving.load_test --export_dir=WORKDIR/export/1 [--seconds=60] [--threads=8]

Requests are made from the golden rows that export left in the folder, and TensorFlow's session answers them. Prints
whether each score equals the one from the model in Python, latencies by signature and batch size, and memory growth.
Exits with 1 if a request failed or a score differed.
"""

import collections
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from data_pipelines.errors import UserError, run_main
from data_pipelines.ranges import NOT_NEGATIVE, POSITIVE, define_float

if TYPE_CHECKING:
    # They import TensorFlow, which takes seconds.
    from ada_ensemble_tf.serving.golden_rows import GoldenRows
    from ada_ensemble_tf.serving.session import ServingSession

_SIZES = ["1", "64", "512", "4096"]


def main(argv: Sequence[str]) -> int:
    """Runs the load test and prints its results; returns the exit code."""
    del argv
    from ada_ensemble_tf.serving.golden_rows import GoldenRows
    from ada_ensemble_tf.serving.session import ServingSession
    from ada_ensemble_tf.serving.warmup import FILE, replay_warmup

    folder, options = Path(flags.FLAGS.export_dir), flags.FLAGS
    try:
        sizes = sorted({int(size) for size in options.batch_sizes})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 1:
        raise UserError(f"--batch_sizes: whole numbers above 0, separated by commas; got {options.batch_sizes}")
    session = ServingSession(folder)
    rows = GoldenRows.load(folder)
    if (folder / FILE).exists():
        print(f"{replay_warmup(folder, session)} warm-up requests replayed")
    load = Load(session, rows, sizes, options.tolerance)
    load.run(options.seconds, options.threads)
    for line in load.lines():
        print(line)
    return 1 if load.problems else 0


class Load:
    """Requests from many threads, and their results.

    Args:
        session: answers the requests.
        rows: batches are filled by cycling through them.
        sizes: rows per request.
        tolerance: largest relative difference allowed in a click probability.

    Attributes:
        problems: failed requests and wrong scores, a line each; each thread reports only its first few.
        seconds: duration of each request, by (signature, size).
        memory: samples of (seconds since the start, bytes of the process).
    """

    def __init__(self, session: "ServingSession", rows: "GoldenRows", sizes: Sequence[int], tolerance: float):
        self._session, self._rows, self._tolerance = session, rows, tolerance
        self._cases = [(signature, size) for size in sizes for signature in session.signatures]
        self.problems: list[str] = []
        self.seconds: dict[tuple[str, int], list[float]] = collections.defaultdict(list)
        self.memory: list[tuple[float, int]] = []

    def run(self, seconds: float, threads: int) -> None:
        """Sends requests for `seconds`, size by size; each thread calls every signature in turn, at least once."""
        # The largest size goes first, so that its memory does not count as growth.
        sizes = sorted({size for _, size in self._cases}, reverse=True)
        for case in self._cases:
            self._ask(*case, offset=0, timed=False)
        start = time.monotonic()
        self.memory.append((0.0, resident_bytes()))
        for number, size in enumerate(sizes, start=1):
            cases, deadline = [case for case in self._cases if case[1] == size], start + seconds * number / len(sizes)
            workers = [threading.Thread(target=self._work, args=(cases, turn, deadline)) for turn in range(threads)]
            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers):
                time.sleep(min(0.5, seconds / 10))
                self.memory.append((time.monotonic() - start, resident_bytes()))

    def _work(self, cases: Sequence[tuple[str, int]], turn: int, deadline: float) -> None:
        first_round = turn + len(cases)
        while (turn < first_round or time.monotonic() < deadline) and len(self.problems) < 20:
            self._ask(*cases[turn % len(cases)], offset=turn)
            turn += 1

    def _ask(self, signature: str, size: int, offset: int, timed: bool = True) -> None:
        from ada_ensemble_tf.serving.parity import difference
        from ada_ensemble_tf.serving.session import click_probabilities

        rows = np.arange(offset, offset + size) % len(self._rows.ctr)
        feed = self._rows.feed(signature, rows)
        start = time.perf_counter()
        try:
            outputs = self._session(signature, feed)
        except Exception as error:  # Any exception would have failed the request in a server.
            self.problems.append(f"{signature}, {size} rows: {type(error).__name__}: {error}")
            return
        if timed:
            self.seconds[signature, size].append(time.perf_counter() - start)
        wrong = difference(click_probabilities(signature, outputs), self._rows.ctr[rows])
        if wrong.max() > self._tolerance:
            self.problems.append(f"{signature}, {size} rows: a score is off by {wrong.max():.2g} of itself")

    def lines(self) -> list[str]:
        """A table of latencies, then memory and problems."""
        lines = [f"{'signature':16}{'rows':>6}{'requests':>10}{'p50 ms':>10}{'p99 ms':>10}"]
        for signature, size in self._cases:
            times = 1e3 * np.array(self.seconds[signature, size] or [np.nan])
            p50, p99 = np.percentile(times, [50, 99])
            lines.append(f"{signature:16}{size:6}{len(self.seconds[signature, size]):10}{p50:10.2f}{p99:10.2f}")
        settled = [size for seconds, size in self.memory if seconds >= self.memory[-1][0] / 3]
        lines.append(
            f"memory: {self.memory[0][1] / 2**20:,.0f} MiB at the start, {settled[0] / 2**20:,.0f} after a third of "
            f"the time, {settled[-1] / 2**20:,.0f} at the end: {100 * (settled[-1] / settled[0] - 1):+.1f} % since then"
        )
        requests = sum(map(len, self.seconds.values()))
        lines += self.problems[:20]
        return lines + [f"{requests} requests, {len(self.problems)} problems: {'FAILED' if self.problems else 'ok'}"]


def resident_bytes() -> int:
    """The process's resident memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_string("export_dir", None, "Folder of one version, e.g. WORKDIR/export/1.", required=True)
    define_float("seconds", 10.0, "How long to send requests.", NOT_NEGATIVE)
    flags.DEFINE_integer("threads", 8, "How many threads send requests.", lower_bound=1)
    flags.DEFINE_list("batch_sizes", _SIZES, "Rows per request.")
    define_float("tolerance", 1e-4, "Largest relative difference of a score; 0.01 for bfloat16 models.", POSITIVE)
    run_main(main)
