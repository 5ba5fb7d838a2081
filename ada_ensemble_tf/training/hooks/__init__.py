"""Hooks around a training's steps; each does one thing."""

from ada_ensemble_tf.training.hooks.averaging import Averaging
from ada_ensemble_tf.training.hooks.base import Hook, Steps, Stop
from ada_ensemble_tf.training.hooks.checkpoints import Checkpoints
from ada_ensemble_tf.training.hooks.evaluation import Evaluation
from ada_ensemble_tf.training.hooks.moving_average import MovingAverage
from ada_ensemble_tf.training.hooks.profile import Profile
from ada_ensemble_tf.training.hooks.progress import Progress
from ada_ensemble_tf.training.hooks.tensorboard import TensorBoard

__all__ = [
    "Averaging",
    "Checkpoints",
    "Evaluation",
    "Hook",
    "MovingAverage",
    "Profile",
    "Progress",
    "Steps",
    "Stop",
    "TensorBoard",
]
