"""One config file per data set; `--config=NAME:MODEL` picks data set and model. `tuned/` has values found by tuning."""
