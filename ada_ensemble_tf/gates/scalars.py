"""Gate reports as named scalars, the form that logs and TensorBoard take."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from ada_ensemble_tf.gates import GateReport


def report_scalars(reports: Mapping[str, GateReport], choices: Mapping[str, Sequence[str]]) -> dict[str, tf.Tensor]:
    """The reports as float32 scalars named "<gate>/<what>" and, for shares, "<gate>/<what>/<choice>".

    Args:
        reports: by the gate's place, e.g. "layer_1" or "depth".
        choices: by the same places, what the gate chooses among: experts' names, or exits.
    """
    scalars = {}
    for place, report in reports.items():
        for what, value in report._replace(row_probability=None)._asdict().items():
            if value is None:
                continue
            value = tf.convert_to_tensor(value)
            if value.shape.rank == 1:
                for choice, share in zip(choices[place], tf.unstack(value), strict=True):
                    scalars[f"{place}/{what}/{choice}"] = share
            else:
                scalars[f"{place}/{what}"] = tf.cast(value, tf.float32)
    return scalars
