"""Checks of raw logs and of prepared data."""
