"""Configs: the keys there are, their defaults by model, how to override them, and what tuning may change."""
