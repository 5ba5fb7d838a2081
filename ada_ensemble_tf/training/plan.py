"""The length of a training, its stops, and the rows that its steps read."""

import math

import tensorflow as tf
from ml_collections import ConfigDict

from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.trained.start_file import Start
from ada_ensemble_tf.updates.stages import StageSchedule
from data_pipelines.errors import UserError
from data_pipelines.read.dataset import PreparedData, pair

_FROM_THE_FIRST_ROW = Start()


class Plan:
    """The plan of a training. Everything is a function of the step, so the step alone tells a resumed run what to do.

    Args:
        model: a compiled `CTRModel`, before a checkpoint is restored.
        data: the prepared data.
        config: see `ada_ensemble_tf/configs/defaults.py`.
        distribution: the replicas and workers that train together.
        start: what the training began from.

    Attributes:
        bilevel: whether gates learn on their own rows.
        stride: weight updates per call of the train step.
        max_steps: the last weight update, unless it stops early. Those before `start.step` count.
        limit: the config key that limits them.
        stages: the model's stages.

    Raises:
        UserError: if a batch cannot be split equally among the replicas.
    """

    def __init__(
        self,
        model: CTRModel,
        data: PreparedData,
        config: ConfigDict,
        distribution: Distribution,
        start: Start = _FROM_THE_FIRST_ROW,
    ):
        self._data, self._config, self._distribution = data, config, distribution
        self._first_step = start.first_step
        self._worker_batch = distribution.worker_batch(config.batch_size)
        self._annealing_steps = model.annealing_steps()
        self.bilevel = config.training == "bilevel" and bool(model.gate_variables)
        self.stride = config.weight_steps if self.bilevel else 1
        steps_per_epoch = math.ceil(data.part_rows("train", self._gate_share_of_train(), 1.0) / config.batch_size)
        steps = self.whole_calls(min(config.max_epochs * steps_per_epoch, config.max_steps or math.inf))
        self.max_steps = start.step + steps
        cut = 0 < config.max_steps < config.max_epochs * steps_per_epoch
        self.limit = "config.max_steps" if cut else "config.max_epochs"
        self._eval_every = self.whole_calls(min(config.eval_every, steps_per_epoch))
        self._report_every = self.whole_calls(config.report_every)
        self.stages = StageSchedule(model, self.stride)

    @property
    def gate_source(self) -> str | None:
        """The split that gives gates a share of its rows; None if gates have no rows of their own."""
        return self._config.gate_source if self.bilevel else None

    def check(self) -> None:
        """Raises UserError if annealing would not end or the last stage would not begin within the training."""
        if self.stages.last_start >= self.max_steps:
            raise UserError(
                f"the last stage begins at step {self.stages.last_start}, but training ends at {self.max_steps}: "
                f"lower config.model.stage_epochs or raise {self.limit}"
            )
        if self._annealing_steps > self.max_steps:
            raise UserError(
                f"annealing ends at step {self._annealing_steps}, but training at {self.max_steps}: "
                f"lower config.model.anneal_epochs or a schedule's boundaries, or raise {self.limit}"
            )

    def whole_calls(self, steps: float) -> int:
        """`steps` rounded up to whole calls of the train step, at least one call."""
        return max(1, math.ceil(steps / self.stride)) * self.stride

    def is_stop(self, step: int) -> bool:
        """Whether training stops at `step` for an evaluation."""
        return step > 0 and self.next_stop(step - 1) == step

    def next_stop(self, step: int) -> int:
        """The step of the next evaluation: the next regular one, or an earlier end of a stage or of training."""
        done = step - self._first_step
        next_evaluation = step - done % self._eval_every + self._eval_every
        return min(next_evaluation, self.stages.next_end(step) or self.max_steps, self.max_steps)

    def next_report(self, step: int) -> int:
        """The step of the next report, at the latest the next evaluation."""
        return min(step + self._report_every - step % self._report_every, self.next_stop(step))

    def elements(self, step: int) -> tf.data.Dataset:
        """The elements for the train step from `step` on, see `BilevelModel`, with this worker's part of each batch."""
        config, who = self._config, {"worker": self._distribution.worker, "workers": self._distribution.workers}
        done = step - self._first_step
        first_row, share = done * config.batch_size, self._gate_share_of_train()
        train = self._data.train(self._worker_batch, config.seed, first_row, gate_share=share, **who)
        if not self.bilevel:
            return train
        gate_rows = done // self.stride * config.batch_size
        source, share = config.gate_source, config.gate_share
        gate = self._data.gate(self._worker_batch, config.seed, gate_rows, source, share, **who)
        return pair(train, gate, self.stride)

    def _gate_share_of_train(self) -> float:
        return self._config.gate_share if self.gate_source == "train" else 0.0
