"""The help of a command: its docstring, and its flags in a line each."""

import shlex
import shutil
import sys
import textwrap
from pathlib import Path

from absl import flags

HELP = frozenset({"--help", "-help", "-h"})
_NAMES_WIDTH = 28
_MAX_WIDTH = 120


def usage() -> str:
    """What --help prints of the command that runs; defaults stand behind the names."""
    width = min(shutil.get_terminal_size((_MAX_WIDTH, 0)).columns, _MAX_WIDTH)
    lines = [(sys.modules["__main__"].__doc__ or "").strip(), ""]
    for flag in sorted(flags.FLAGS.get_key_flags_for_module(sys.argv[0]), key=lambda flag: flag.name):
        # absl adds a line to the help of flags that may be repeated.
        text = " ".join((flag.help or "").partition(";\n")[0].split())
        name, indent = f"  {_name(flag).ljust(_NAMES_WIDTH)} ", " " * (_NAMES_WIDTH + 3)
        lines.append(textwrap.fill(text, width, initial_indent=name, subsequent_indent=indent))
    return "\n".join(lines)


def command_line() -> str:
    """The command that runs, of those of `ada-ensemble`, as it may be given again."""
    name = Path(sys.argv[0]).name.removesuffix(".py").rpartition(".")[2]
    return f"ada-ensemble {name} {shlex.join(sys.argv[1:])}"


def _name(flag: flags.Flag) -> str:
    if flag.boolean:
        return f"--{'no' if flag.default else ''}{flag.name}"
    default = flag.default
    if isinstance(default, list | tuple):
        default = ",".join(map(str, default))
    return f"--{flag.name}={'..' if default in (None, '') else default}"
