import tensorflow as tf

from ada_ensemble_tf.reporting.sessions import Session, describe, read_sessions, seconds


def write(folder, times):
    """An event file with an event at each of the times."""
    path = folder / f"events.out.tfevents.{times[0]}.host"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for step, when in enumerate(times):
            writer.write(tf.compat.v1.Event(wall_time=when, step=step).SerializeToString())


def test_time_is_that_of_all_sessions_without_the_pauses_between(tmp_path):
    write(tmp_path, [1_700_000_000.0, 1_700_000_030.0, 1_700_000_061.0])
    write(tmp_path, [1_700_009_000.0, 1_700_009_060.0])
    found = read_sessions(tmp_path)
    assert found == [Session(1_700_000_000.0, 1_700_000_061.0), Session(1_700_009_000.0, 1_700_009_060.0)]
    assert seconds(found) == 121.0
    assert describe(found) == {
        "trained": "2023-11-15 00:44 UTC", "training time": "2 min 01 s in 2 sessions, evaluations included",
    }  # fmt: skip


def test_nothing_is_said_where_nothing_is_known(tmp_path):
    assert read_sessions(tmp_path / "none") == [] and describe([]) == {} and seconds([]) == 0.0
