"""From raw click logs to batches of row ids."""

import sys

from data_pipelines.quiet import quiet_tensorflow

if sys.argv[:1] == ["-m"]:
    # A command of this package or of one above it is about to be loaded: Python says so by this argument.
    quiet_tensorflow()
