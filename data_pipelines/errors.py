"""Errors a user can act on, and the entry point that prints them as one line."""

import errno
import gc
import logging
import sys
from collections.abc import Callable, Sequence

from absl import app, flags
from absl import logging as absl_logging

from data_pipelines.quiet import quiet_tensorflow
from data_pipelines.terminal import AboveTheLine, end_lines
from data_pipelines.usage import HELP, usage


class UserError(ValueError):
    """What a user can put right: wrong data, a wrong flag, a taken port, a loss that is not finite.

    The message is one or two sentences: it names the file, line, field and value, and says what to do.
    """


class Stopped(Exception):
    """The process was asked to end and has left its work in order; the message says how to continue."""


STOPPED = 75
"""The exit code of a process that was asked to end: sysexits' EX_TEMPFAIL, "try again later"."""


_EXTRA_OF = dict.fromkeys(
    ("google_crc32c", "matplotlib", "scipy", "sklearn", "tensorboard", "tensorflow_datasets"), "train"
) | {"optuna": "tune", "pyspark": "spark", "pandas": "spark", "tensorflow_serving": "serving"}
"""By the name under which a package is imported: the extra of setup.cfg that installs it."""


def extra_missing(what: str, package: str, extra: str) -> UserError:
    """The error for a missing package that one of setup.cfg's extras installs."""
    here = f".venv/bin/pip install -e '.[{extra}]'"
    return UserError(f"{what} needs {package}: pip install 'ada_ensemble_tf[{extra}]', or in a checkout {here}")


def missing_package(error: ModuleNotFoundError) -> UserError | None:
    """The error for a package that was not found, if one of setup.cfg's extras installs it."""
    package = (error.name or "").partition(".")[0]
    return extra_missing("this command", package, _EXTRA_OF[package]) if package in _EXTRA_OF else None


def run_main(main: Callable[[Sequence[str]], int | None]) -> None:
    """Runs a command line's `main(argv)` under absl and ends the process.

    What a user can put right (a `UserError`, a missing file, a full disk, a damaged record, a bad flag, an
    unknown key of a config flag) is printed as one line `error: ...` on stderr, with exit code 1 and no
    traceback. A process that was asked to end prints `stopped: ...` and has the exit code `STOPPED`. Anything
    else is a defect of the program and keeps its traceback.

    Args:
        main: called with the arguments that are left once flags are parsed; returns None or an exit code.
    """
    quiet_tensorflow()
    if HELP & set(sys.argv[1:]):
        print(usage())
        sys.exit(0)
    app.run(_guarded(main), flags_parser=_parse_flags)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that the disk (or the user's quota) is full; knows Python's and TensorFlow's."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return _is_tensorflow_error(error) and "No space left" in str(error)


def _guarded(main: Callable[[Sequence[str]], int | None]) -> Callable[[Sequence[str]], int | None]:
    def guarded(argv: Sequence[str]) -> int | None:
        _show_progress()
        # Building TensorFlow's graphs makes millions of objects that stay. To look through them for garbage as often as
        # Python does by default takes a sixth of the time to the first step.
        gc.set_threshold(50_000, 20, 20)
        if len(argv) > 1:
            return _complain(f"unexpected argument {argv[1]!r}: options are written --name=value")
        try:
            return main(argv)
        except (UserError, OSError) as error:
            return _complain(_one_line(error))
        except Stopped as stopped:
            return _complain(_one_line(stopped), STOPPED, "stopped")
        except KeyboardInterrupt:
            return _complain("interrupted", code=130)
        except ModuleNotFoundError as error:
            if (missing := missing_package(error)) is None:
                raise
            return _complain(str(missing))
        except Exception as error:
            if is_disk_full(error) or (_is_tensorflow_error(error) and type(error).__name__ == "DataLossError"):
                return _complain(_one_line(error))
            raise

    return guarded


def _show_progress() -> None:
    """Lets this project's INFO messages through, with the time of day; other libraries show warnings only."""
    handler: logging.Handler = absl_logging.get_absl_handler()
    root = logging.getLogger()
    if sys.stderr.isatty() and handler in root.handlers:
        root.removeHandler(handler)
        handler = AboveTheLine()
        root.addHandler(handler)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    absl_logging.set_verbosity(absl_logging.WARNING)
    for package in ("data_pipelines", "ada_ensemble_tf"):
        logging.getLogger(package).setLevel(logging.INFO)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    # Config flags run the user's config function while parsing, so its complaints come as built-in errors.
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        message = _one_line(error)
        if "Traceback (most recent call last)" in message:
            # ml_collections puts the config function's whole traceback into the message; its last line is enough.
            message = f"{message.split(': ')[0]}: {str(error).strip().splitlines()[-1]}"
    except (AttributeError, KeyError) as error:
        # For an unknown key ml_collections raises either KeyError or AttributeError(KeyError).
        cause = error.args[0] if error.args and isinstance(error.args[0], KeyError) else error
        message = _one_line(cause)
        if isinstance(cause, KeyError):
            message = f"unknown config key {message}; get_config in the config file shows the known keys"
    except (TypeError, ValueError, OSError, ImportError) as error:
        message = _one_line(error)
    sys.exit(_complain(message))


def _is_tensorflow_error(error: BaseException) -> bool:
    # By name: most command lines here must not pay for importing TensorFlow.
    return any(cls.__name__ == "OpError" and cls.__module__.startswith("tensorflow") for cls in type(error).__mro__)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    elif isinstance(error, KeyError) and error.args:
        text = str(error.args[0])  # str(KeyError) would quote the message
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())


def _complain(message: str, code: int = 1, what: str = "error") -> int:
    sys.stdout.flush()
    end_lines()
    print(f"{what}: {message}", file=sys.stderr)
    return code
