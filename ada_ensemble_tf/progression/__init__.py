"""Progressive validation: each day's log first tests the model of the days before, and then trains it."""
