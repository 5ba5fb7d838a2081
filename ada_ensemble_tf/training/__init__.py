"""The training run: from config to model, the loop and its hooks, and metrics.json."""
