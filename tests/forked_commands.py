"""Commands forked from a process that has loaded TensorFlow, which takes most of a short run's time."""

import importlib
import os
import signal
import subprocess
import sys
import traceback
import types
from collections.abc import Mapping, Sequence
from typing import IO, ClassVar, NoReturn


def load() -> None:
    """Loads what commands need. Nothing may be computed here, or forked processes could hang."""
    for module in ("training.run", "serving.publish", "comparison.runs"):
        importlib.import_module(f"ada_ensemble_tf.{module}")


class Forked:
    """The parts of `subprocess.Popen` that are used here, for `python -m MODULE`, by forking."""

    _inputs: ClassVar[list[int]] = []
    """Ends of pipes that no other child may hold open."""

    def __init__(
        self,
        command: Sequence[str],
        stdout: IO,
        stdin: int | None = None,
        stderr: IO | None = None,
        env: Mapping[str, str] | None = None,
    ):
        del stderr
        read, write = os.pipe() if stdin == subprocess.PIPE else (os.open(os.devnull, os.O_RDONLY), None)
        self.returncode: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            for descriptor in [*self._inputs, *([] if write is None else [write])]:
                os.close(descriptor)
            os.dup2(read, 0)
            os.dup2(stdout.fileno(), 1)
            os.dup2(stdout.fileno(), 2)
            os.environ.update(env or {})
            _run_module(command[2], command[3:])
        os.close(read)
        if write is not None:
            self._inputs.append(write)
            self.stdin = os.fdopen(write, "wb")

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int | None:
        """The same, once it has ended."""
        return self._reap(0)

    def kill(self) -> None:
        """SIGKILL."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _reap(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


def _run_module(name: str, arguments: Sequence[str]) -> NoReturn:
    code = 1
    try:
        from ada_ensemble_tf.comparison import runs
        from data_pipelines.errors import _guarded, run_main

        sys.argv = [name, *arguments]
        # What a comparison starts is forked as well.
        runs.subprocess = types.SimpleNamespace(Popen=Forked, PIPE=subprocess.PIPE)
        package = name == "data_pipelines.prepare"
        main = importlib.import_module(f"{name}.__main__" if package else name).main
        if name == runs.WORKER:
            # It has no flags, and those of `compare` are there already.
            code = _guarded(main)(sys.argv) or 0
        else:
            run_main(main)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
