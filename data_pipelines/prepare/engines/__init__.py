"""Who prepares: one machine or a Spark cluster. Both give the same files."""
