"""Prepared data: what its directory holds, and how it becomes batches."""
