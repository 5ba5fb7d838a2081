"""Training: the update, its devices, and the run around it."""
