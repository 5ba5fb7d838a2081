"""Averages the weights of the last evaluations."""

from typing import TYPE_CHECKING

import tensorflow as tf

from ada_ensemble_tf.training.hooks.base import Hook, Stop

if TYPE_CHECKING:
    from ada_ensemble_tf.training.loop import TrainingLoop


class Averaging(Hook):
    """At each stop, puts the mean of the weights at the last `count` stops into the model, to be evaluated and kept.

    Training goes on from its own weights. The average of checkpoints: Vaswani et al., arXiv 1706.03762, section 6.1;
    Izmailov et al., arXiv 1803.05407. Moving statistics are averaged like weights. Only stops at which annealing has
    ended count, because earlier weights are of another architecture. It must come before the evaluation.

    The earlier weights are part of the checkpoint, which is `count` - 1 times the model larger.

    Args:
        count: the number of stops, this one included; 1 changes nothing.
    """

    def __init__(self, count: int):
        self._count = count

    def begin(self, loop: "TrainingLoop") -> None:
        self._model = loop.model
        self._weights = [v for v in loop.model.variables if tf.as_dtype(v.dtype).is_floating]
        self._seen = tf.Variable(0, name="average/seen", dtype=tf.int64)
        self._earlier = [
            [tf.Variable(tf.zeros(v.shape, v.dtype), name=f"average/{n}/{i:04d}") for i, v in enumerate(self._weights)]
            for n in range(self._count - 1)
        ]
        if self._count > 1:
            self.state = (self._seen, *(v for earlier in self._earlier for v in earlier))

    def at_stop(self, stop: Stop) -> None:
        if self._count == 1 or stop.step < self._model.annealing_steps():
            return
        self._model.bring_up_to_date()
        own = [tf.identity(tf.convert_to_tensor(v)) for v in self._weights]
        earlier = self._earlier[: int(self._seen.numpy())]
        for variable, now, *before in zip(self._weights, own, *earlier, strict=True):
            variable.assign(tf.add_n([now, *map(tf.convert_to_tensor, before)]) / (1.0 + len(before)))
        stop.put_back = lambda: self._go_on(own)

    def _go_on(self, own: list[tf.Tensor]) -> None:
        """Puts back the weights of the training, and remembers them in place of the oldest."""
        seen = int(self._seen.numpy())
        for variable, earlier, now in zip(self._weights, self._earlier[seen % (self._count - 1)], own, strict=True):
            variable.assign(now)
            earlier.assign(now)
        self._seen.assign(seen + 1)
