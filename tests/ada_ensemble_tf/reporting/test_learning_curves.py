import os

import tensorflow as tf

from ada_ensemble_tf.reporting.learning_curves import learning_curves_figure, read_curves


def write(folder, points: dict[int, float], when: int) -> None:
    """An event file of `metrics/auc`, last changed at `when`."""
    before = set(folder.glob("*"))
    writer = tf.summary.create_file_writer(str(folder), filename_suffix=f".{when}")
    with writer.as_default():
        for step, value in points.items():
            tf.summary.scalar("metrics/auc", value, step)
        tf.summary.text("notes", "no scalar", 1)
    writer.close()
    (file,) = set(folder.glob("*")) - before
    os.utime(file, (when, when))


def test_the_later_file_counts_where_steps_repeat(tmp_path):
    write(tmp_path, {10: 0.5, 20: 0.6, 30: 0.65}, 1000)
    write(tmp_path, {20: 0.7, 40: 0.75}, 2000)
    curves = read_curves(tmp_path)
    assert curves.keys() == {"metrics/auc"}
    assert curves["metrics/auc"].steps.tolist() == [10, 20, 30, 40]
    assert [round(value, 6) for value in curves["metrics/auc"].values] == [0.5, 0.7, 0.65, 0.75]


def test_a_file_cut_off_by_a_kill_is_read_up_to_there(tmp_path):
    write(tmp_path, {10: 0.5, 20: 0.6}, 1000)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-70])
    assert read_curves(tmp_path)["metrics/auc"].steps.tolist()[0] == 10


def test_no_files_no_curves(tmp_path):
    assert read_curves(tmp_path) == {}
    # The page leaves the section out, but a lone run is drawn.
    write(tmp_path, {10: 0.5}, 1000)
    losses, aucs = learning_curves_figure({}, read_curves(tmp_path), best_step=10).axes
    assert aucs.lines[0].get_ydata().tolist() == [0.5] and losses.lines[0].get_xdata() == [10, 10]
