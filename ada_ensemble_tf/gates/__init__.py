"""Gates by name. A new one: its file, its line in GATES, its test."""

from ada_ensemble_tf.gates.base import Gate, GateReport
from ada_ensemble_tf.gates.noisy_cosine import NoisyCosineGate

GATES: dict[str, type[Gate]] = {"noisy_cosine": NoisyCosineGate}

__all__ = ["GATES", "Gate", "GateReport", "NoisyCosineGate"]
