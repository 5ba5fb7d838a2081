"""Kills prepare, train, export, compare and progressive (SIGKILL) at random moments, and runs them again to the end:

python tests/kill_at_random.py --folder=/tmp/kills [--kills=30] [--only=prepare,train] [--seed=0]

After each kill, every file under its final name must be complete. After up to five kills in a row the same command runs
to the end. It must leave what a run without kills leaves: the same files with the same bytes, except where a file holds
durations. Half of the moments are drawn over the whole run, the other half from the first file on. At the first fault
the script ends with exit code 1 and leaves the files in --folder.

Commands are forked from this process, which has loaded TensorFlow but computed nothing with it. Otherwise most kills
would come while TensorFlow is being loaded.
"""

import argparse
import os
import random
import shutil
import sys
import time
import traceback
from pathlib import Path

from command_line import ROOT
from forked_commands import Forked, load
from kill_cases import Case, assert_same, cases, files_below

KILLS_IN_A_ROW = 5


class Killer:
    """Runs a case with kills until there have been enough."""

    def __init__(self, case: Case, folder: Path, seed: int):
        self.case, self.folder = case, folder
        self.random = random.Random(seed)
        self.log = folder / "log.txt"

    def run(self, kills: int) -> str:
        """Kills the command that many times; reports the outcome."""
        started = time.monotonic()
        self._finish(self.folder / "whole")
        seconds = time.monotonic() - started
        expected = self.case.content(self.folder / "whole" / self.case.out)
        killed = with_files = finished = chains = 0
        while killed < kills:
            chain = self.folder / f"chain_{chains}"
            chain.mkdir()
            for _ in range(min(self.random.randint(1, KILLS_IN_A_ROW), kills - killed)):
                afresh, begun = not any(chain.iterdir()), time.monotonic()
                if not self._kill(chain, seconds, killed % 2 == 1):
                    finished += 1
                    if afresh:
                        # The machine is faster now than when the whole run was timed.
                        seconds = time.monotonic() - begun
                    break
                killed += 1
                with_files += any(chain.iterdir())
                _check(self.case, chain)
            self._finish(chain)
            _check(self.case, chain)
            assert_same(expected, self.case.content(chain / self.case.out))
            left = sorted(path.name for path in chain.iterdir())
            assert left == [self.case.out], left
            shutil.rmtree(chain)
            chains += 1
            print(f"{killed} kills, {with_files} of them with files there; {chains} runs to the end", flush=True)
        return (
            f"{killed} kills in {chains} chains, {with_files} of them with files there, {finished} runs ended before; "
            f"a whole run takes {seconds:.1f} s"
        )

    def _start(self, chain: Path) -> Forked:
        with self.log.open("ab") as log:
            return Forked(self.case.command(chain), log)

    def _finish(self, chain: Path) -> None:
        chain.mkdir(exist_ok=True)
        code = self._start(chain).wait()
        assert code == 0, f"exit code {code}; see the end of {self.log}"

    def _kill(self, chain: Path, seconds: float, from_first_file: bool) -> bool:
        """Whether the run was killed, and not at its end before."""
        before = files_below(chain)
        process, started = self._start(chain), time.monotonic()
        while from_first_file and process.poll() is None and files_below(chain) == before:
            time.sleep(0.01)
        moment = time.monotonic() + self.random.uniform(0.0, max(seconds - (time.monotonic() - started), 0.5))
        while process.poll() is None and time.monotonic() < moment:
            time.sleep(0.01)
        process.kill()
        return process.wait() < 0


def _check(case: Case, folder: Path) -> None:
    # In a process of its own: this one must have no threads, or what is forked from it could hang.
    pid = os.fork()
    if not pid:
        try:
            case.check(folder / case.out)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0, f"half-written in {folder}"


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="to work in; must not exist yet")
    parser.add_argument("--kills", type=int, default=30, help="of each command")
    parser.add_argument(
        "--only", default="prepare,train,export,compare,progressive", help="commands, with commas between"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True)
    os.chdir(ROOT)
    load()
    names = arguments.only.split(",")
    made = cases(arguments.folder.absolute() / "base", names)
    for name in names:
        folder = arguments.folder.absolute() / name
        folder.mkdir()
        try:
            print(f"{name}: {Killer(made[name], folder, arguments.seed).run(arguments.kills)}", flush=True)
        except AssertionError as error:
            print(f"{name}: FAULT: {error}; see {folder}", flush=True)
            return 1
    shutil.rmtree(arguments.folder)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
