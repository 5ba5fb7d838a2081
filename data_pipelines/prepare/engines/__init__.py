"""The engines that prepare data: one machine or a Spark cluster. Both write the same files."""
