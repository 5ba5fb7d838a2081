"""From raw click logs to batches of row ids."""
