"""The train step: bi-level and joint updates, stages, and the check for non-finite values."""
