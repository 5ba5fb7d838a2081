"""Replaces `ada_ensemble_tf.comparison.worker`: an endless training that saves when asked to end."""

import os
import pickle
import sys

from ada_ensemble_tf.comparison.runs import END
from data_pipelines.errors import STOPPED

if __name__ == "__main__":
    pipe = os.fdopen(os.dup(0), "rb")
    run, jobs = pickle.load(pipe)
    (run.folder / "started").touch()
    if pipe.read(1) != END:
        sys.exit(1)
    (run.folder / "checkpoint").touch()
    print("stopped: asked to end by the process that started it")
    sys.exit(STOPPED)
