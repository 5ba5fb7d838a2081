"""Evaluates a trained model: python -m ada_ensemble_tf.evaluate --workdir=.. [--split=test] [--data_dir=..]"""

import json
from collections.abc import Sequence

from absl import flags

from data_pipelines.errors import run_main

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the training run.", required=True)
_SPLIT = flags.DEFINE_enum("split", "test", ["train", "validation", "test"], "Split to evaluate on, all of its rows.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared data; where it was in training by default.")


def main(argv: Sequence[str]) -> None:
    """Prints the metrics as JSON."""
    del argv
    from ada_ensemble_tf.evaluation.scoring import Scorer
    from ada_ensemble_tf.evaluation.unknown_ids import UnknownFields
    from ada_ensemble_tf.trained.workdir import Workdir
    from ada_ensemble_tf.training.run import score_split

    workdir = Workdir(_WORKDIR.value)
    model, data = workdir.load_model(), workdir.open_data(_DATA_DIR.value)
    batches = data.evaluation(_SPLIT.value, workdir.config()["eval_batch_size"])
    unknown = UnknownFields(data.schema, workdir.path)
    results, flops = score_split(Scorer(model), unknown.watching(batches), data)
    unknown.warn()
    print(json.dumps({_SPLIT.value: results, "flops_per_example": flops}, indent=2))


if __name__ == "__main__":
    run_main(main)
