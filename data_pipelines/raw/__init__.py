"""Raw logs: files to chunks of checked rows."""

from data_pipelines.raw.reader import RawChunk, RawReader

__all__ = ["RawChunk", "RawReader"]
