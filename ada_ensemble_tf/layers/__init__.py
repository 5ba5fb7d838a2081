"""Layers that models, experts and modules are made of."""
