"""Runs the days: test, prepare, train; what is finished is not repeated."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ada_ensemble_tf.comparison.runs import Run, Workers
from ada_ensemble_tf.progression.page import write_page
from ada_ensemble_tf.progression.request import Request, day_folder
from ada_ensemble_tf.progression.results import TESTED, TRAINED, Day, load_days
from ada_ensemble_tf.trained.start_file import load_start
from data_pipelines.errors import UserError
from data_pipelines.json_files import load_json, save_json
from data_pipelines.locks import alone_in
from data_pipelines.output import remove_left
from data_pipelines.prepare.build import build
from data_pipelines.prepare.extending import load_old

logger = logging.getLogger(__name__)

DATA, RUN = "data", "run"
"""In a day's folder: the prepared data and the training."""


def progress(request: Request, modes: Sequence[str], out: Path) -> list[Day]:
    """Works through the days and writes the page after each.

    Args:
        request: the days.
        modes: some of `MODES`.
        out: where everything goes.

    Returns:
        The days' figures.

    Raises:
        UserError: the directory holds another request, another process works there, or a stage failed.
        Stopped: the process was asked to end; the same command goes on.
    """
    with alone_in(out, "choose another --out"), Workers(1) as workers:
        remove_left(out)
        request.claim(out)
        for number in range(1, len(request.days) + 1):
            for mode in modes:
                _day(request, mode, number, out, workers)
            write_page(load_days(out, request, modes), out)
    return load_days(out, request, modes)


def _day(request: Request, mode: str, number: int, out: Path, workers: Workers) -> None:
    folder, before = day_folder(out, mode, number), day_folder(out, mode, number - 1)
    folder.mkdir(parents=True, exist_ok=True)
    if number > 1:
        _once(folder / TESTED, lambda: _test(request, before, number))
    _once(folder / TRAINED, lambda: _train(request, mode, number, folder, before, workers))


def _once(file: Path, work: Callable[[], dict[str, Any]]) -> None:
    """Saves what a piece of work found, with its seconds, unless it was saved before."""
    if not file.exists():
        started = time.monotonic()
        found = work()
        save_json(file, found | {"seconds": time.monotonic() - started})
    else:
        load_json(file)


def _test(request: Request, before: Path, number: int) -> dict[str, Any]:
    """The metrics of the model of the day before on all rows of a day."""
    # Imported here, because a command that only finds everything done needs no TensorFlow.
    import keras

    from ada_ensemble_tf.inference.raw_scores import score_labelled
    from ada_ensemble_tf.plugins import load_plugins
    from ada_ensemble_tf.trained.workdir import Workdir

    load_plugins(request.config["plugins"])
    run = Workdir(before / RUN)
    keras.utils.clear_session()
    metrics = score_labelled(run.load_model(), run.schema(), run.path, [request.days[number - 1]])
    logger.info(
        "day %d tests: AUC %.5f, normalized entropy %.5f", number, metrics["auc"], metrics["normalized_entropy"]
    )
    return {"metrics": metrics}


def _train(request: Request, mode: str, number: int, folder: Path, before: Path, workers: Workers) -> dict[str, Any]:
    """Prepares the day's data and trains on them."""
    goes_on = mode == "continue"
    raw = request.days[number - 1 : number] if goes_on else request.days[:number]
    old = load_old(before / DATA, request.retire_after) if goes_on and number > 1 else None
    build(request.options, raw, folder / DATA, show=logger.info, old=old)
    continue_from = before / RUN if old is not None else None
    label = f"{mode}, day {number}" if number > 1 else "day 1"
    run = Run(label, request.config, folder / RUN, folder / DATA, continue_from=continue_from)
    workers.start(run)
    _, failure = workers.wait()
    if failure is not None:
        raise UserError(f"{run.label}: {failure}; see {run.folder / 'train.log'}")
    from ada_ensemble_tf.trained.checkpoint import latest_save

    save = latest_save(run.folder / "checkpoints" / "last") or ""
    steps = int(save.split("-")[1]) - load_start(run.folder).step
    rows = steps * request.config["batch_size"]
    logger.info("%s: trained on %s rows", run.label, f"{rows:,}")
    return {"rows": rows, "steps": steps}
