import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.experts import make_expert
from ada_ensemble_tf.trained import checkpoint as module
from ada_ensemble_tf.trained.checkpoint import Checkpoint
from ada_ensemble_tf.training.hooks.checkpoints import check_same_checkpoint
from data_pipelines.errors import UserError


def variables(value: float, shape=(2, 3), name="kernel", dtype="int64") -> list:
    """A Keras and a TensorFlow variable."""
    return [
        keras.Variable(np.full(shape, value, np.float32), name=name),
        tf.Variable(int(value), dtype=dtype, name="step"),
    ]


def test_saved_values_come_back_in_another_process(tmp_path):
    saved = variables(7)
    Checkpoint(tmp_path, saved).save(3)
    others = variables(0)
    Checkpoint(tmp_path, others).restore()
    assert others[0].numpy().tolist() == [[7] * 3] * 2
    assert int(others[1]) == 7


def test_restore_undoes_changes_since_the_save(tmp_path):
    held = variables(1)
    checkpoint = Checkpoint(tmp_path, held)
    checkpoint.save(1)
    held[0].assign(np.zeros((2, 3)))
    held[1].assign(9)
    checkpoint.restore()
    assert (held[0].numpy() == 1).all() and int(held[1]) == 1


def test_variables_of_one_name_are_kept_apart(tmp_path):
    Checkpoint(tmp_path, variables(1) + variables(2)).save(1)
    others = variables(0) + variables(0)
    Checkpoint(tmp_path, others).restore()
    assert [int(others[i]) for i in (1, 3)] == [1, 2]
    assert [others[i].numpy()[0, 0] for i in (0, 2)] == [1, 2]


def test_random_states_are_those_of_any_process_whatever_it_made_before(tmp_path):
    def random_states() -> list:
        # Gates and dropout hold such states; Keras numbers them across the whole process.
        with keras.name_scope("member"):
            return [keras.random.SeedGenerator(seed).state for seed in (1, 2)]

    saved = random_states()
    keras.random.uniform((2,), seed=keras.random.SeedGenerator(3))
    saved[0].assign_add([0, 5])
    Checkpoint(tmp_path, saved).save(1)
    others = random_states()
    assert others[0].path != saved[0].path
    others[0].assign([9, 9])
    Checkpoint(tmp_path, others).restore()
    for one, other in zip(saved, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_and_optimizers_come_back(tmp_path):
    def trained(steps: int) -> tuple[list[keras.Variable], keras.optimizers.Optimizer]:
        layer = keras.layers.Dense(2, name="dense")
        layer.build((None, 2))
        optimizer = keras.optimizers.Adam(0.1, name="adam")
        optimizer.build(layer.trainable_variables)
        for _ in range(steps):
            optimizer.apply([tf.ones(v.shape) for v in layer.trainable_variables], layer.trainable_variables)
        return layer.variables + optimizer.variables, optimizer

    saved, _ = trained(3)
    Checkpoint(tmp_path, saved).save(3)
    restored, optimizer = trained(0)
    Checkpoint(tmp_path, restored).restore()
    assert int(optimizer.iterations) == 3
    for expected, value in zip(saved, restored, strict=True):
        np.testing.assert_array_equal(expected, value)


def test_exists_once_saved(tmp_path):
    checkpoint = Checkpoint(tmp_path / "last", variables(1))
    assert not checkpoint.exists
    checkpoint.save(1)
    assert checkpoint.exists
    assert Checkpoint(tmp_path / "last", variables(0)).exists
    assert not Checkpoint(tmp_path / "best", variables(0)).exists


def test_only_the_last_save_is_kept(tmp_path):
    held = variables(1)
    checkpoint = Checkpoint(tmp_path, held)
    for step in (10, 20, 30):
        held[1].assign(step)
        checkpoint.save(step)
    assert [path.name for path in tmp_path.glob("*.index")] == ["ckpt-30.index"]
    assert len(list(tmp_path.iterdir())) == 4, "the pointer, the index, the values and the checksums"
    # Also in a later process.
    resumed = variables(0)
    later = Checkpoint(tmp_path, resumed)
    later.restore()
    assert int(resumed[1]) == 30
    later.save(40)
    assert [path.name for path in tmp_path.glob("*.index")] == ["ckpt-40.index"]


def test_a_save_that_was_broken_off_is_not_there(tmp_path):
    Checkpoint(tmp_path, variables(1)).save(10)
    (tmp_path / "ckpt-20.index").write_bytes(b"half")
    (tmp_path / "ckpt-20.data-00000-of-00001").write_bytes(b"half")
    others = variables(0)
    Checkpoint(tmp_path, others).restore()
    assert int(others[1]) == 1


@pytest.mark.parametrize("when", ["before its files are checked", "after they are checked"])
def test_a_save_that_training_replaces_meanwhile_is_read_anew(tmp_path, monkeypatch, when):
    writer, others, check, steps = Checkpoint(tmp_path, variables(7)), variables(0), module.check_saves, [2, 3]
    Checkpoint(tmp_path, variables(1)).save(1)

    def replaced(folder):
        if when.startswith("after"):
            check(folder)
        if steps:
            writer.save(steps.pop(0))
        if when.startswith("before"):
            check(folder)

    monkeypatch.setattr(module, "check_saves", replaced)
    Checkpoint(tmp_path, others).restore()
    assert int(others[1]) == 7 and (others[0].numpy() == 7).all()


def test_saves_that_are_replaced_again_and_again_are_one_clear_error(tmp_path, monkeypatch):
    writer, check, steps = Checkpoint(tmp_path, variables(1)), module.check_saves, iter(range(2, 100))
    writer.save(1)

    def replaced(folder):
        check(folder)
        writer.save(next(steps))

    monkeypatch.setattr(module, "check_saves", replaced)
    with pytest.raises(UserError, match="checkpoints are replaced faster than they can be read; try again later"):
        Checkpoint(tmp_path, variables(0)).restore()


def test_nothing_to_restore_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint; train first"):
        Checkpoint(tmp_path / "none", variables(1)).restore()


@pytest.mark.parametrize(
    "others",
    [
        lambda: variables(0, shape=(2, 4)),
        lambda: variables(0, shape=(6,)),
        lambda: variables(0, name="other"),
        lambda: variables(0)[::-1],
        lambda: variables(0)[:1],
        lambda: variables(0) + variables(0),
        lambda: variables(0, dtype="int32"),
    ],
    ids=["shape", "rank", "name", "order", "fewer", "more", "dtype"],
)
def test_variables_of_another_model_are_refused(tmp_path, others):
    Checkpoint(tmp_path, variables(1)).save(5)
    with pytest.raises(
        ValueError, match="ckpt-5: the checkpoint is of another model, or of another version of this code: "
    ):
        Checkpoint(tmp_path, others()).restore()


def test_too_little_memory_is_not_taken_for_another_model(tmp_path, monkeypatch):
    Checkpoint(tmp_path, variables(1)).save(5)
    other = Checkpoint(tmp_path, variables(0))

    def read(self, path):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(tf.train.Checkpoint, "read", read)
    with pytest.raises(UserError, match="ckpt-5: this process has not enough memory for it: give it more"):
        other.restore()


def test_workers_that_restored_other_checkpoints_are_refused_by_name(tmp_path):
    check_same_checkpoint([("worker 0 (a:1)", "step 64 abc"), ("worker 1 (b:1)", "step 64 abc")], tmp_path)
    with pytest.raises(UserError) as error:
        check_same_checkpoint([("worker 0 (a:1)", "step 64 abc"), ("worker 1 (b:1)", "step 48 def")], tmp_path)
    assert "worker 1 (b:1) restored step 48, worker 0 (a:1) step 64: they read different files" in str(error.value)
    assert str(tmp_path) in str(error.value) and "start all workers again" in str(error.value)
    with pytest.raises(UserError, match=r"restored step 64 of checkpoint def, worker 0 \(a:1\) of abc"):
        check_same_checkpoint([("worker 0 (a:1)", "step 64 abc"), ("worker 1 (b:1)", "step 64 def")], tmp_path)


def test_a_digest_is_of_what_was_saved(tmp_path):
    saves = []
    for folder, value in (("one", 1.0), ("same", 1.0), ("other", 2.0)):
        checkpoint = Checkpoint(tmp_path / folder, [tf.Variable(value, name="v")])
        assert checkpoint.digest() == "none"
        checkpoint.save(3)
        saves.append(checkpoint.digest())
    assert saves[0] == saves[1] != saves[2]


@pytest.mark.parametrize(
    "name, now, then", [("attention", "normalize_fields", "normalize"), ("convolution", "shorten", "fuse")]
)
def test_weights_of_experts_that_computed_something_else_are_refused(name, now, then, tmp_path):
    """Before their activations and normalisation were the published ones, both had weights of the same shapes."""
    expert = make_expert(name, 4)
    expert.build((None, 8), (None, 8))
    former = [keras.Variable(v, name=v.path.replace(now, then).replace("/", ".")) for v in expert.variables]
    assert any(then in v.path for v in former)
    Checkpoint(tmp_path, former).save(1)
    with pytest.raises(UserError, match=rf"another version of this code: it has no variable {name}/{now}/\w+; "):
        Checkpoint(tmp_path, expert.variables).restore()
