"""ada-ensemble COMMAND [--name=value ..]: each command is a module of the same name, run as `python -m` runs it."""

import runpy
import sys

from ada_ensemble_tf import __version__
from data_pipelines.errors import missing_package
from data_pipelines.quiet import quiet_tensorflow

COMMANDS = {
    "synthetic": ("data_pipelines.synthetic", "make rows in Criteo's format whose best AUC is known"),
    "doctor": ("data_pipelines.doctor", "check raw or prepared data, or propose a schema for a table"),
    "prepare": ("data_pipelines.prepare", "turn raw logs into prepared data"),
    "plan": ("ada_ensemble_tf.plan", "count what a training takes on other devices, before there are any"),
    "train": ("ada_ensemble_tf.train", "train a model, or go on with an interrupted training"),
    "evaluate": ("ada_ensemble_tf.evaluate", "score a split of the prepared data"),
    "predict": ("ada_ensemble_tf.predict", "score a raw log"),
    "report": ("ada_ensemble_tf.report", "write a page about a trained model or a comparison"),
    "export": ("ada_ensemble_tf.export", "write a SavedModel for TF Serving"),
    "compare": ("ada_ensemble_tf.compare", "compare models over several seeds"),
    "progressive": ("ada_ensemble_tf.progressive", "test and train day by day on a live log"),
    "tune": ("ada_ensemble_tf.tune", "search each model's settings with the same number of trials"),
}
"""By name: the module and what it does."""


def main() -> None:
    """Runs the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name == "--version":
        print(f"ada_ensemble_tf {__version__}")
    elif name in ("--help", "-h", "help"):
        print(_usage())
    elif name not in COMMANDS:
        sys.exit(f"error: there is no command {name!r}; there are {', '.join(COMMANDS)}")
    else:
        module, _ = COMMANDS[name]
        quiet_tensorflow()
        sys.argv = [module, *sys.argv[2:]]
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except ModuleNotFoundError as error:
            if (missing := missing_package(error)) is None:
                raise
            sys.exit(f"error: {missing}")


def _usage() -> str:
    lines = [f"  {name:10} {what}" for name, (_, what) in COMMANDS.items()]
    head, foot = "usage: ada-ensemble COMMAND [--name=value ..]", "ada-ensemble COMMAND --help lists its options."
    return "\n".join([head, "", *lines, "", foot])


if __name__ == "__main__":
    main()
