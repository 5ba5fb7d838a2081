"""Many trainings side by side: comparing models and tuning them, each training in a process of its own.

Nothing here imports TensorFlow but the worker process.
"""
