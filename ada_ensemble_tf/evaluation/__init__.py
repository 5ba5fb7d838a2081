"""How good a model is: metrics, their intervals and tests, and scoring of whole splits."""
