"""Many trainings side by side: comparing models and tuning them, each training in its own process.

Only the worker process trains. The parent loads TensorFlow once, when it reads a config, because the defaults of
`config.model` are those of the model's constructor; it builds no model.
"""
