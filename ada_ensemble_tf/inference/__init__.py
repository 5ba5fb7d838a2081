"""Raw columns to a model's inputs, in the graph and in Python, and raw logs to scores."""
