"""Commands forked from a process that has loaded TensorFlow, which takes most of a short run's time.

`Forked` forks from this process, which must not have computed anything with TensorFlow; `FromServer` forks from a
process that does nothing else.
"""

import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, ClassVar, NoReturn

LOADED = [f"ada_ensemble_tf.{module}" for module in ("training.run", "serving.publish", "comparison.runs")]
"""What commands need. To load it must not compute anything, or forked processes could hang."""

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(LOADED)


def load() -> None:
    """Loads what commands need."""
    for module in LOADED:
        importlib.import_module(module)


class FromServer:
    """`python -m MODULE` in the folder `cwd`, forked from a server process that stays for as long as this one.

    Its output goes into files, which `out` and `err` read at any time. `module` may be a script, FILE.py, as well.
    Variables of `environment` are set for it alone.
    """

    def __init__(self, module: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None):
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name) / name for name in ("out", "err")]
        for file in self._files:
            file.touch()
        started = (module, arguments, cwd, os.environ | (environment or {}), self._files)
        self._process = _SERVER.Process(target=_run_from_server, args=started)
        self._process.start()

    @property
    def out(self) -> str:
        """What it has printed to stdout so far."""
        return self._files[0].read_text()

    @property
    def err(self) -> str:
        """What it has printed to stderr so far."""
        return self._files[1].read_text()

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """The same, once it has ended or the time is over."""
        self._process.join(timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Sends it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)


def _run_from_server(
    module: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], files: Sequence[Path]
) -> NoReturn:
    for descriptor, file in enumerate(files, start=1):
        opened = os.open(file, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    _run_module(module, arguments)


class PopenFromServer:
    """The parts of `subprocess.Popen` that are used here, for `python -m MODULE`, forked from the same server."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], stdout: IO, stderr: int):
        assert command[1] == "-m" and stderr == subprocess.STDOUT
        started = (command[2], command[3:], Path.cwd(), env, [Path(stdout.name)] * 2)
        self._process = _SERVER.Process(target=_run_from_server, args=started)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """The same, once it has ended or the time is over."""
        self._process.join(timeout)
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Sends it a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Forked:
    """The parts of `subprocess.Popen` that are used here, for `python -m MODULE`, by forking."""

    _inputs: ClassVar[list[IO]] = []
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
            for descriptor in [one.fileno() for one in self._inputs if not one.closed] + ([write] if write else []):
                os.close(descriptor)
            os.dup2(read, 0)
            os.dup2(stdout.fileno(), 1)
            os.dup2(stdout.fileno(), 2)
            os.environ.update(env or {})
            _run_module(command[2], command[3:])
        os.close(read)
        if write is not None:
            self.stdin = os.fdopen(write, "wb")
            self._inputs.append(self.stdin)

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
        # With this a worker that lost another starts itself anew.
        sys.orig_argv = [sys.executable, "-m", *sys.argv]
        if name != "ada_ensemble_tf.progressive":
            # What a comparison starts is forked as well. Progressive validation computes before it starts trainings.
            runs.subprocess = types.SimpleNamespace(Popen=Forked, PIPE=subprocess.PIPE)
        if name.endswith(".py"):
            runpy.run_path(name, run_name="__main__")
            sys.exit()
        package = name in ("data_pipelines.prepare", "data_pipelines.doctor")
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
