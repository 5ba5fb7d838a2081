"""Prepared data: what stands in its directory, and how it becomes batches."""
