"""Measurements of speed and memory: each command says how it measures and whether its targets are met."""
