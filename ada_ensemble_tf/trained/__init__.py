"""What a training run leaves on disk, and what everything after it starts from."""
