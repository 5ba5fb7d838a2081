"""One call of the train step: bi-level and joint updates, stages, and the check for values that are not finite."""
