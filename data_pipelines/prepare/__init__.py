"""Raw files to a prepared directory: python -m data_pipelines.prepare."""
