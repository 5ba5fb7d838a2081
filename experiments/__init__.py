"""One config file per data set; `FILE.py:MODEL` on the command line picks the model."""

import data_pipelines  # noqa: F401, first of all, because it quiets TensorFlow in commands
