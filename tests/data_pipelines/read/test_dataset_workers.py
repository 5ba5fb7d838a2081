"""What several workers read together, and that the order of rows does not depend on their number."""

import numpy as np
import pytest
import tensorflow as tf
from prepared_rows import write_rows

from data_pipelines.errors import UserError
from data_pipelines.read import streams
from data_pipelines.read.dataset import open_data
from data_pipelines.read.inputs import ids_of


@pytest.fixture(scope="module")
def criteo(prepared_criteo):
    return open_data(prepared_criteo)


@pytest.fixture(scope="module")
def many_files(tmp_path_factory):
    """More files than are read in turn, and values."""
    return write_rows(tmp_path_factory.mktemp("files"), {"train": 1501, "validation": 40, "test": 40}, files=13)[0]


def batches(dataset, count=-1) -> list:
    """Batches as (rows of ids, labels)."""
    taken = dataset.take(count).as_numpy_iterator()
    return [(ids_of(inputs), label) for inputs, label in taken]


def check_union(read, workers, batch_size, steps):
    """Checks that at each step the workers' batches are the parts of one process' batch, and their lengths."""
    together = batches(read(batch_size * workers), steps)
    alone = [batches(read(batch_size, worker=w, workers=workers), steps) for w in range(workers)]
    assert [len(own) for own in alone] == [len(together)] * workers
    sizes = []
    for whole, *parts in zip(together, *alone, strict=True):
        for place in (0, 1):
            np.testing.assert_array_equal(np.concatenate([part[place] for part in parts]), whole[place])
        sizes.append([len(part[1]) for part in parts])
    return sizes


@pytest.mark.parametrize("workers, seed, start_row", [(2, 0, 0), (3, 5, 0), (2, 5, 4321), (3, 5, 640)])
def test_workers_of_a_step_read_what_one_process_would(criteo, workers, seed, start_row):
    sizes = check_union(
        lambda b, **who: criteo.train(b, seed, start_row, gate_share=0.1, **who), workers, batch_size=64, steps=25
    )
    assert sizes == [[64] * workers] * 25
    sizes = check_union(lambda b, **who: criteo.gate(b, seed, start_row, **who), workers, batch_size=20, steps=20)
    assert sizes == [[20] * workers] * 20


def test_static_shapes_and_cardinality_of_a_worker(criteo, many_files):
    stream = criteo.train(64, worker=1, workers=3)
    assert stream.element_spec[0] == tf.TensorSpec([64, 39], tf.int32)
    assert stream.cardinality() == tf.data.INFINITE_CARDINALITY
    values = many_files.train(64, worker=1, workers=3).element_spec[0]["values"]
    assert values == tf.TensorSpec([64, 2], tf.float32)
    # 1,501 rows in batches of 3 * 64.
    assert many_files.evaluation("train", 64, worker=1, workers=3).cardinality() == 8
    assert many_files.train(64, epochs=2, worker=1, workers=3).cardinality() == 16


def test_a_resumed_worker_goes_on_exactly(criteo):
    whole = batches(criteo.train(64, seed=5, worker=1, workers=3), 40)
    rest = batches(criteo.train(64, seed=5, start_row=17 * 3 * 64, worker=1, workers=3), 23)
    for expected, got in zip(whole[17:], rest, strict=True):
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])


@pytest.mark.parametrize(
    "workers, batch_size, last",
    [
        # 3,002 rows of two epochs and 1,501 of one pass.
        (4, 100, ([50, 51, 50, 51], [75, 75, 75, 76])),
        (3, 300, ([100, 101, 101], [200, 200, 201])),
        (5, 300, ([0, 0, 1, 0, 1], [0, 0, 0, 0, 1])),
    ],
)
def test_uneven_ends_are_shared_and_all_make_the_same_number_of_steps(many_files, workers, batch_size, last):
    for read, expected in (
        (lambda b, **who: many_files.train(b, epochs=2, **who), last[0]),
        (lambda b, **who: many_files.evaluation("train", b, **who), last[1]),
    ):
        sizes = check_union(read, workers, batch_size, -1)
        assert sizes[:-1] == [[batch_size] * workers] * (len(sizes) - 1) and sizes[-1] == expected


def test_a_batch_of_none_has_the_shapes_of_others(many_files):
    ((inputs, label),) = many_files.evaluation("test", 40, worker=0, workers=41)
    assert inputs["ids"].shape == (0, 6) and inputs["values"].shape == (0, 2) and label.shape == (0,)


@pytest.mark.parametrize("worker, workers", [(-1, 2), (2, 2), (0, 0), (1, 1)])
def test_workers_that_are_none(criteo, worker, workers):
    message = f"worker should be 0 to workers - 1, got worker {worker} of workers {workers}"
    for read in (criteo.train, criteo.gate, lambda b, **who: criteo.evaluation("test", b, **who)):
        with pytest.raises(UserError, match=message):
            read(8, worker=worker, workers=workers)


@pytest.mark.parametrize("threads, parallel_files", [(1, 1), (1, 8), (8, 1), (8, 8), (3, 2)])
def test_the_order_does_not_depend_on_how_much_is_done_at_once(many_files, monkeypatch, threads, parallel_files):
    expected = batches(many_files.train(64, seed=3, epochs=2))
    monkeypatch.setattr(streams, "PARALLEL_FILES", parallel_files)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    got = batches(many_files.train(64, seed=3, epochs=2).with_options(options))
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    epochs = np.split(np.concatenate([ids[:, 0] for ids, _ in got]), 2)
    assert (epochs[0] != epochs[1]).any() and sorted(epochs[0]) == sorted(epochs[1]) == list(range(1501))
