import numpy as np

from ada_ensemble_tf.serving.load_test import Load


def test_every_signature_and_size_is_asked_by_every_thread(linear):
    load = Load(linear.session, linear.rows, [1, 100], tolerance=1e-4)
    load.run(seconds=0.0, threads=3)
    assert load.problems == []
    assert {key: len(seconds) for key, seconds in load.seconds.items()} == {
        (signature, size): 3 for signature in linear.session.signatures for size in (1, 100)
    }
    lines = load.lines()
    assert len(lines) == 1 + 10 + 2 and lines[-1] == "30 requests, 0 problems: ok" and "memory: " in lines[-2]


def test_other_scores_and_failures_are_problems(linear):
    def session(signature, feed):
        if signature == "examples":
            raise RuntimeError("no")
        outputs = linear.session(signature, feed)
        return {name: np.where(outputs[name] > 0.5, outputs[name], 1.001 * outputs[name]) for name in outputs}

    session.signatures = ["examples", "ids"]
    load = Load(session, linear.rows, [69], tolerance=1e-4)
    load.run(seconds=0.0, threads=1)
    assert load.problems[0] == "examples, 69 rows: RuntimeError: no"
    assert load.problems[1] == "ids, 69 rows: a score is off by 0.001 of itself"
    assert load.lines()[-1].endswith("4 problems: FAILED")
