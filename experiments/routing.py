"""Does routing follow a field of the rows, such as the planted groups of synthetic rows?

python -m experiments.routing --workdir=runs/planted/ada_ensemble [--field=C17]

prints, for each gate of a trained AdaEnsemble, the normalised mutual information (0: no relation, 1: one to one) over
test rows between the field and the choice with the largest gate, and between the field and the set of kept choices.
Then it prints the share of rows for which each choice has the largest gate, over all rows and by value of the field.
Without --field, the field is the planted group of synthetic rows, which C17 encodes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from absl import flags

from ada_ensemble_tf.reporting.field_routing import information, shares
from data_pipelines import synthetic
from data_pipelines.errors import UserError, run_main
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies


def classes_of(ids: np.ndarray, schema: Schema, vocabularies: Vocabularies, field: str | None):
    """(class of each row `[N]`, names of the classes) for ids `[N, C]`: the field's levels or the planted groups."""
    name = field or synthetic.GROUP_COLUMN
    fields = {one.name: position for position, one in enumerate(schema.fields)}
    if name not in fields:
        raise UserError(f"there is no field {name!r}; the fields are {', '.join(fields)}")
    one = schema.fields[fields[name]]
    if one.width > 1:
        raise UserError(f"field {name} has several values per row; choose a single-valued field")
    levels = ids[:, sum(schema.widths[: fields[name]])] - one.offset
    if field:
        known = vocabularies.levels[name]
        # Hashed fields and crosses have buckets, which no vocabulary lists.
        names = [one.level_text(level, known) for level in range(1, one.size)] if one.buckets else known
        return levels, ["(other)", *names]
    if (levels == 0).any():
        raise UserError(f"{name} has levels that are out of vocabulary; prepare more rows")
    return synthetic.group_of(vocabularies.levels[name])[levels - 1], list(synthetic.GROUPS)


def report(
    gates: Mapping[str, np.ndarray], choices: Mapping[str, Sequence[str]], classes: np.ndarray, names: Sequence[str]
) -> str:
    """The tables in Markdown."""
    lines = ["| gate | NMI, largest gate | NMI, kept gates |", "|---|---|---|"]
    for place, values in gates.items():
        lines.append("| " + " | ".join([place, *(f"{value:.3f}" for value in information(values, classes))]) + " |")
    for place, values in gates.items():
        lines += ["", f"| {place} | " + " | ".join(choices[place]) + " |", "|---" * (1 + values.shape[1]) + "|"]
        by_class = shares(values, classes, len(names))
        everything = shares(values, np.zeros_like(classes), 1)
        for name, row in zip(["all rows", *names], [*everything, *by_class], strict=True):
            if not np.isnan(row).any():
                lines.append(f"| {name} | " + " | ".join(f"{share:.1%}" for share in row) + " |")
    return "\n".join(lines)


def gates_of_test_rows(path: str, least_rows: int) -> tuple[dict[str, np.ndarray], dict[str, list[str]], np.ndarray]:
    """(gates `[N, E]` by place, names of their choices, ids `[N, C]`) of a trained model's first test rows.

    Args:
        path: the working directory.
        least_rows: how many rows, rounded up to whole batches.

    Raises:
        UserError: if the model has no gates per row.
    """
    from ada_ensemble_tf.trained.workdir import Workdir
    from data_pipelines.read.inputs import ids_of

    workdir = Workdir(path)
    model, data = workdir.load_model(), workdir.open_data()
    if not hasattr(model, "gates"):
        raise UserError(f"{workdir.path}: {model.name} has no gates per row; use an ada_ensemble or dense_moe")
    batches, rows = [], 0
    for inputs, labels, *_ in data.evaluation("test", 8192):
        batches.append((ids_of(inputs).numpy(), {place: gates.numpy() for place, gates in model.gates(inputs).items()}))
        rows += len(labels)
        if rows >= least_rows:
            break
    gates = {place: np.concatenate([one[place] for _, one in batches]) for place in batches[0][1]}
    return gates, model.choice_names(), np.concatenate([one for one, _ in batches])


def main(argv: Sequence[str]) -> None:
    """Prints the tables."""
    del argv
    from ada_ensemble_tf.trained.workdir import Workdir

    gates, choices, ids = gates_of_test_rows(flags.FLAGS.workdir, flags.FLAGS.rows)
    workdir = Workdir(flags.FLAGS.workdir)
    schema = workdir.schema()
    classes, names = classes_of(ids, schema, Vocabularies.load(workdir.path, schema), flags.FLAGS.field)
    print(f"{len(ids)} test rows, {flags.FLAGS.field or 'planted group'}\n")
    print(report(gates, choices, classes, names))


if __name__ == "__main__":
    # Here, so that importing this module leaves the flags of other command lines alone.
    flags.DEFINE_string("workdir", None, "Directory of a trained AdaEnsemble.", required=True)
    flags.DEFINE_string("field", None, "Field to compare with; by default the planted group.")
    flags.DEFINE_integer("rows", 100_000, "Test rows to read, rounded up to whole batches.", lower_bound=1)
    run_main(main)
