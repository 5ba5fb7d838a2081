"""Runs the train steps between two reports in one graph."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ada_ensemble_tf.devices.distribution import STOP, Distribution
from ada_ensemble_tf.evaluation.unknown_ids import UnknownIds

WAIT = "input/wait"
"""Seconds that the loop waited for rows."""
UNKNOWN = "input/out_of_vocabulary/all"
"""Share of ids that are out of vocabulary."""


def graph_loop(
    training_logs: Callable, unknown_ids: UnknownIds, distribution: Distribution, timed: bool = True
) -> Callable:
    """Makes a compiled function of (iterator of training elements, calls); make a new one when the stage changes.

    The function makes up to `calls` train steps. It ends early after a step with a non-finite tensor or when asked to
    stop. It returns (the steps' mean logs with `UNKNOWN`, and the sum `WAIT`; index of the first non-finite tensor or
    -1; its step; above 0 if asked to stop).

    Args:
        training_logs: `BilevelModel.training_logs`.
        unknown_ids: the counter for the data's schema.
        distribution: says whether to stop.
        timed: whether to measure `WAIT`; TensorFlow cannot read a clock if operations must be deterministic.
    """
    # No AutoGraph: converting the model took a quarter of the time until the first step, and only this loop has control
    # flow over tensors.
    step = tf.function(training_logs, autograph=False)
    clock = tf.timestamp if timed else lambda: tf.constant(0.0, tf.float64)

    def run_calls(batches: Any, calls: tf.Tensor):
        names = step.get_concrete_function(batches.element_spec).structured_outputs
        totals = {name: tf.constant(0.0) for name in (*names, UNKNOWN) if name not in ("first_bad", "bad_step", STOP)}

        def goes_on(done, bad, bad_step, stop, waited, totals):
            del bad_step, waited, totals
            return (done < calls) & (bad < 0) & (stop == 0)

        def call(done, bad, bad_step, stop, waited, totals):
            # Without these control edges the clock could be read whenever a thread is free.
            asked = clock()
            with tf.control_dependencies([asked]):
                element = batches.get_next()
            with tf.control_dependencies(tf.nest.flatten(element)):
                waited += clock() - asked
            logs = step(element)
            bad, bad_step, stop = logs["first_bad"], logs["bad_step"], distribution.stop_asked(logs)
            logs |= {UNKNOWN: unknown_ids.share(element)}
            return done + 1, bad, bad_step, stop, waited, {name: totals[name] + logs[name] for name in totals}

        start = (tf.constant(0), tf.constant(-1), tf.constant(0, tf.int64), tf.constant(0, tf.int64))
        done, bad, bad_step, stop, waited, totals = tf.while_loop(
            goes_on, call, (*start, tf.constant(0.0, tf.float64), totals)
        )
        means = {name: total / tf.cast(done, tf.float32) for name, total in totals.items()}
        return means | ({WAIT: waited} if timed else {}), bad, bad_step, stop

    return tf.function(run_calls, autograph=False)
