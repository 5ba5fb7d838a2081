"""Where a training's first weights come from."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import tensorflow as tf
from ml_collections import ConfigDict

from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.trained.run_files import is_trained
from ada_ensemble_tf.trained.start_file import Start, check_same_start, flag_of
from ada_ensemble_tf.training.continuation import Continuation, arguments_for
from ada_ensemble_tf.training.warm_start import WarmStart
from data_pipelines.errors import UserError
from data_pipelines.read.dataset import PreparedData


class Source(Protocol):
    """Gives a model its first weights and state."""

    def load(self, model: CTRModel, hooks_state: Sequence[tf.Variable], save_best: Callable[[int], None]) -> None:
        """Sets the variables of a compiled model.

        Args:
            model: the model.
            hooks_state: the state of the training's hooks, best value and best step included.
            save_best: saves the model's variables as the best weights so far; takes their step.
        """


class Beginning(NamedTuple):
    """How a training begins.

    Attributes:
        start: what is recorded about it.
        source: gives the model its first weights; None where they are new, or the training has its own checkpoint.
        arguments: the model's constructor arguments; None where the config says them.
    """

    start: Start = Start()
    source: Source | None = None
    arguments: dict[str, Any] | None = None


NEW_WEIGHTS = Beginning()


def beginning(
    folder: Path,
    config: ConfigDict,
    data: PreparedData,
    continue_from: str | Path | None,
    warm_start: str | Path | None = None,
) -> Beginning:
    """How the training in a working directory begins, or began.

    Args:
        folder: the working directory.
        config: a config.
        data: the prepared data.
        continue_from: the working directory of a training to go on with; None for none.
        warm_start: the working directory of a training whose weights to take; None for none.

    Raises:
        UserError: the training in the directory began otherwise, the other training or its data do not fit, or two
            are named.
    """
    if continue_from is not None and warm_start is not None:
        raise UserError(f"{flag_of('continued', continue_from)} and {flag_of('warm', warm_start)}: give one of them")
    kind = "continued" if continue_from is not None else "warm" if warm_start is not None else None
    other = warm_start if continue_from is None else continue_from
    if kind is not None and other is not None and Path(other).absolute() == Path(folder).absolute():
        raise UserError(f"{flag_of(kind, other)}: is the --workdir itself; give another --workdir")
    if is_trained(folder):
        start = check_same_start(folder, kind, other)
        return Beginning(start, None, arguments_for(folder, data) if start.kind == "continued" else None)
    if other is not None:
        found = Continuation(other, config, data) if kind == "continued" else WarmStart(other, data)
        return Beginning(found.start, found, found.arguments)
    return NEW_WEIGHTS
