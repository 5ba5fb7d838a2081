"""AdaEnsemble and its baselines: a TensorFlow/Keras model zoo for click-through-rate prediction.

The legend of shapes used in every docstring: B batch, F fields, D embedding size, M = F * D (the width of a
flattened feature map), E experts, K experts kept per example, L stacked MoE layers, V rows of the embedding table.
"""

__version__ = "0.1.0"
