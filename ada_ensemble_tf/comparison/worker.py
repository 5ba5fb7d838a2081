"""The process of one run: trains it, saves the test rows' probabilities and its hyperparameters, marks it as done.

Started by `ada_ensemble_tf.comparison.runs.Workers`, which puts a pickled (Run, jobs) into stdin and leaves it open.
"""

import os
import pickle
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from ml_collections import ConfigDict

from ada_ensemble_tf.comparison.arrays import save_array, weights_file
from ada_ensemble_tf.comparison.runs import END, HPARAMS_FOLDER, PROBABILITIES, Run
from ada_ensemble_tf.training.stopping import StopRequest
from data_pipelines.errors import run_main

if TYPE_CHECKING:
    from data_pipelines.read.dataset import PreparedData


def main(argv: Sequence[str]) -> None:
    """Runs what stdin says."""
    del argv
    # Not sys.stdin: Python waits for a reader of that when it ends.
    pipe, stop = os.fdopen(os.dup(0), "rb"), StopRequest()
    run, jobs = pickle.load(pipe)
    threading.Thread(target=_listen_to_parent, args=(pipe, stop), daemon=True).start()
    from ada_ensemble_tf.comparison.hparams import write_hparams
    from ada_ensemble_tf.training.run import train
    from data_pipelines.json_files import save_json
    from data_pipelines.read.dataset import open_data

    data, config = open_data(run.data_dir), ConfigDict(run.config).lock()
    score_test, before = run.labels_file is not None, run.continue_from
    results = train(
        config, data, run.folder, score_test=score_test, stop=stop, command=run.command, continue_from=before
    )
    if run.labels_file is not None:
        _save_predictions(run, run.labels_file, data)
    write_hparams(run.folder / HPARAMS_FOLDER, run.hparams, results)
    save_json(run.folder / "run.json", {"jobs": jobs})


def _save_predictions(run: Run, labels_file: Path, data: "PreparedData") -> None:
    from ada_ensemble_tf.evaluation.scoring import Scorer
    from ada_ensemble_tf.trained.workdir import Workdir

    model = Workdir(run.folder).load_model()
    with data.reading():
        batches = data.evaluation("test", run.config["eval_batch_size"])
        scored = Scorer(model).score(batches)
    save_array(run.folder / PROBABILITIES, scored.probabilities.astype(np.float32))
    # Before the labels, whose file says that both are there.
    if scored.weights is not None and not labels_file.exists():
        save_array(weights_file(labels_file), scored.weights.astype(np.float32))
    if not labels_file.exists():
        save_array(labels_file, scored.labels.astype(np.uint8))


def _listen_to_parent(pipe: BinaryIO, stop: StopRequest) -> None:
    while pipe.read(1) == END:
        stop.ask("the process that started it")
    # It is gone.
    os._exit(1)


if __name__ == "__main__":
    run_main(main)
