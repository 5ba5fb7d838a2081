"""One config file per data set; `FILE.py:MODEL` on the command line picks the model."""
