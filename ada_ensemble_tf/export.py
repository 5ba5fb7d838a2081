"""Exports a trained model for TF Serving: python -m ada_ensemble_tf.export --workdir=.. [--export_dir=..]"""

from absl import flags

from data_pipelines.errors import run_main

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the training run.", required=True)
_EXPORT_DIR = flags.DEFINE_string("export_dir", None, "Where numbered versions go; WORKDIR/export by default.")


def main(argv) -> None:
    """Exports and prints where to."""
    del argv
    from ada_ensemble_tf.serving.signatures import export
    from ada_ensemble_tf.training.workdir import Workdir

    workdir = Workdir(_WORKDIR.value)
    model = workdir.load_model()
    folder = export(model, workdir.schema(), workdir.path, _EXPORT_DIR.value or workdir.path / "export")
    print(f"SavedModel: {folder}")


if __name__ == "__main__":
    run_main(main)
