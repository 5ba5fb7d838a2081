"""A monotone map of logits, fitted after training, that makes predictions equal observed rates."""

import dataclasses
from typing import Annotated, Any, Literal

import msgspec
import tensorflow as tf
from msgspec import Meta

_Finite = Annotated[float, Meta(ge=-1e30, le=1e30)]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A map from a model's logit to the calibrated logit; `evaluation.calibrating` fits it.

    Temperature: logit / temperature. Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2.

    Isotonic: linear between the points (logits[i], calibrated[i]), constant beyond the first and the last. Zadrozny
    and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002.

    Args:
        kind: "temperature" or "isotonic".
        temperature: above 0; above 1 makes predictions less extreme.
        logits: `[P]`, increasing.
        calibrated: `[P]`, not decreasing.

    Raises:
        ValueError: if the points of an isotonic calibration are missing or not in order.

    Example:
        >>> Calibration("temperature", temperature=2.0)(tf.constant([1.0, -3.0])).numpy()
        array([ 0.5, -1.5], dtype=float32)
        >>> Calibration("isotonic", logits=(0.0, 2.0), calibrated=(1.0, 2.0))(tf.constant([-1.0, 1.0, 5.0])).numpy()
        array([1. , 1.5, 2. ], dtype=float32)
    """

    kind: Literal["temperature", "isotonic"]
    temperature: Annotated[float, Meta(gt=0.0, le=1e30)] = 1.0
    logits: tuple[_Finite, ...] = ()
    calibrated: tuple[_Finite, ...] = ()

    def __post_init__(self):
        if self.kind != "isotonic":
            return
        if not self.logits or len(self.logits) != len(self.calibrated):
            sizes = f"{len(self.logits)} and {len(self.calibrated)}"
            raise ValueError(f"logits and calibrated must be as many, and one or more; received {sizes}")
        steps = [after - before for before, after in zip(self.logits, self.logits[1:], strict=False)]
        rises = [after - before for before, after in zip(self.calibrated, self.calibrated[1:], strict=False)]
        if min(steps, default=1.0) <= 0.0 or min(rises, default=0.0) < 0.0:
            raise ValueError("logits must increase, and calibrated must not decrease")

    def __call__(self, logit: tf.Tensor) -> tf.Tensor:
        """Calibrated logits `[B]` float32 of logits `[B]`."""
        logit = tf.cast(logit, tf.float32)
        if self.kind == "temperature":
            return logit / self.temperature
        x, y = tf.constant(self.logits), tf.constant(self.calibrated)
        right = tf.clip_by_value(tf.searchsorted(x, logit), 1, max(len(self.logits) - 1, 1))
        if len(self.logits) == 1:
            return tf.fill(tf.shape(logit), y[0])
        x0, x1, y0, y1 = (tf.gather(points, at) for points in (x, y) for at in (right - 1, right))
        share = tf.clip_by_value(tf.math.divide_no_nan(logit - x0, x1 - x0), 0.0, 1.0)
        return y0 + share * (y1 - y0)

    def config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {"kind": self.kind} | (
            {"temperature": self.temperature}
            if self.kind == "temperature"
            else {"logits": list(self.logits), "calibrated": list(self.calibrated)}
        )

    @classmethod
    def from_config(cls, config: Any) -> "Calibration":
        """Raises ValueError if the config is malformed."""
        return msgspec.convert(config, cls)

    def __str__(self) -> str:
        if self.kind == "temperature":
            return f"temperature {self.temperature:.4g}"
        return f"isotonic, {len(self.logits)} points"
