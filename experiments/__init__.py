"""One config file a data set; `FILE.py:MODEL` on the command line picks the model."""
