"""Serving a trained model: raw columns in, click probabilities out."""
