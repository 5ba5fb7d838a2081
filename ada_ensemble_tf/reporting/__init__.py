"""Reports of trained models and of comparisons: what is computed, drawn and put on a page that needs no network.

A file has one figure or section: the arithmetic in NumPy, and a function `*_figure` that gives a matplotlib `Figure`.
Only `gathering` and `exits` import TensorFlow.
"""
