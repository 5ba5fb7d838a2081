"""Do routed exits beat every fixed exit, and random exits of the same shares?

python -m experiments.exits --workdir=runs/seed_0[,runs/seed_1 ..] [--split=validation] [--rows=N]

scores rows kept apart with trained models that have a depth controller: as routed, with all rows at one exit, and with
random exits. Random exits have the routed ones' shares but do not look at the row; a row's LogLoss is then the mean of
its exits' LogLoss, weighted by these shares, so nothing needs to be drawn. For each run a table says what exits a way
uses, its LogLoss, by how much that exceeds the routed LogLoss, with the standard error of that difference over the
same rows, and its FLOPs. For several runs a last table has the mean difference and its standard error over runs.
Of validation only the rows are read that the gates have not learned from.
"""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import flags

from ada_ensemble_tf.reporting.exit_comparison import Scored, compare, summary, table
from data_pipelines.errors import UserError, run_main


def score(workdir: str, split: str, rows: int | None) -> Scored:
    """Scores a split's rows, or the first of them, with a trained model.

    Raises:
        UserError: if the model has no depth controller.
    """
    from ada_ensemble_tf.reporting.exits import forwards
    from ada_ensemble_tf.trained.workdir import Workdir

    run = Workdir(workdir)
    model, data, config = run.load_model(), run.open_data(), run.config()
    functions = forwards(model)
    if len(functions) == 1:
        raise UserError(f"{run.path}: {model.name} has no depth controller; use an ada_ensemble or dense_moe with one")
    choose = tf.function(lambda inputs: tf.argmax(model.gates(inputs)["depth"], axis=1))
    learned = config["training"] == "bilevel" and config["gate_source"] == split
    batches = data.evaluation(split, int(config["eval_batch_size"]), gate_share=config["gate_share"] if learned else 0)
    labels, probabilities, chosen, flops, read = [], [], [], [], 0
    with data.reading():
        for inputs, batch_labels, *_ in batches:
            results = [forward(inputs) for forward in functions.values()]
            probabilities.append(np.stack([one.numpy() for one, _ in results], axis=1))
            flops.append([float(cost) for _, cost in results])
            chosen.append(choose(inputs).numpy())
            labels.append(batch_labels.numpy())
            read += len(batch_labels)
            if rows is not None and read >= rows:
                break
    routed_and_exits = np.concatenate(probabilities)
    return Scored(
        labels=np.concatenate(labels),
        routed=routed_and_exits[:, 0],
        exits=routed_and_exits[:, 1:],
        chosen=np.concatenate(chosen),
        flops=np.sum(flops, axis=0) / read,
    )


def check_distinct(workdirs: Sequence[str]) -> None:
    """Checks that each directory is named once.

    Raises:
        UserError: if two names are of the same directory, which would count as two runs.
    """
    names: dict[str, str] = {}
    for workdir in workdirs:
        first = names.get(path := os.path.realpath(workdir))
        if first is not None:
            raise UserError(f"--workdir: {first} and {workdir} are the same run; name each run once")
        names[path] = workdir


def main(argv: Sequence[str]) -> None:
    """Prints the tables."""
    del argv
    check_distinct(flags.FLAGS.workdir)
    runs = []
    for workdir in flags.FLAGS.workdir:
        scored = score(workdir, flags.FLAGS.split, flags.FLAGS.rows)
        runs.append(compare(scored))
        print(f"{workdir}: {len(scored.labels)} {flags.FLAGS.split} rows\n\n{table(runs[-1])}\n", flush=True)
    if len(runs) > 1:
        print(summary(runs))


if __name__ == "__main__":
    # Here, so that importing this module leaves the flags of other command lines alone.
    flags.DEFINE_list("workdir", None, "Directories of trained models, separated by commas.", required=True)
    flags.DEFINE_enum("split", "test", ["validation", "test"], "Whose rows to score.")
    flags.DEFINE_integer("rows", None, "Rows to score, rounded up to whole batches; all by default.", lower_bound=2)
    run_main(main)
