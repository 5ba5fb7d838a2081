"""Training in stages through the loop: what is trained when, at which rate, and how a run resumes."""

import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from prepared_rows import write_rows
from tensorflow.python.framework.config import disable_op_determinism

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.models import DNN, AdaEnsemble, HiLoMoE
from ada_ensemble_tf.optimizers import GroupFtrl
from ada_ensemble_tf.training.hooks import Hook
from ada_ensemble_tf.training.loop import TrainingLoop
from ada_ensemble_tf.training.setup import build_model, compile_model, model_inputs, seed_everything
from ada_ensemble_tf.updates.stages import Stage, StageSchedule
from data_pipelines.errors import Stopped, UserError
from data_pipelines.read.dataset import pair

# 600 training rows in batches of 32: 19 steps an epoch, so stages of 0.3 and 0.4 epochs begin at steps 6 and 14.
SMALL = {"dimension": 2, "hidden_units": (5,), "num_layers": 2, "rank_experts": 2, "query_rank": 2}
EVALUATIONS = [5, 6, 10, 14, 15, 19]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("stages"), {"train": 600, "validation": 120, "test": 100}, files=2)[0]


@pytest.fixture(scope="module", autouse=True)
def deterministic_ops():
    seed_everything(0, deterministic=True)
    yield
    disable_op_determinism()


def small_config(**arguments):
    config = config_for("hilomoe")
    trainer = {"batch_size": 32, "eval_batch_size": 64, "max_epochs": 1.0, "eval_every": 5, "patience": 2}
    config.update(trainer | {"report_every": 3, "deterministic": True})
    config.model.update(SMALL | {"stage_epochs": (0.3, 0.4)} | arguments)
    return config


def make_loop(data, workdir, config=None) -> TrainingLoop:
    config = config or small_config()
    # Optimisers are numbered within a process, and a checkpoint identifies variables by name.
    keras.utils.clear_session()
    seed_everything(3, deterministic=True)
    model = build_model(config, data)
    compile_model(model, config)
    return TrainingLoop(model, data, config, workdir)


def values(model) -> dict[str, np.ndarray]:
    """All state by path."""
    variables = model.variables + model.optimizer_variables
    assert len({v.path for v in variables}) == len(variables)
    return {v.path: v.numpy().copy() for v in variables}


def run_watched(loop: TrainingLoop, workdir=None) -> dict[int, dict[str, np.ndarray]]:
    """Runs the loop; returns all state by the steps at which it was saved.

    Each save leaves a copy of `workdir` next to it, as it would be if the run were killed then.
    """
    seen = {}

    class Watch(Hook):
        def at_stop(self, stop):
            seen[stop.step] = values(loop.model)
            if workdir is not None:
                shutil.copytree(workdir, workdir.with_name(f"killed_at_{stop.step}"))

    loop.hooks = (*loop.hooks, Watch())
    loop.run()
    return seen


def moved(before, after, paths) -> list[str]:
    return [path for path in paths if not np.array_equal(before[path], after[path])]


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    """(working directory, loop, state at each save) of a whole run."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    loop = make_loop(data, workdir)
    first = values(loop.model)
    return workdir, loop, {0: first} | run_watched(loop, workdir)


def test_each_stage_trains_its_own_and_leaves_the_rest_bit_equal(uninterrupted):
    *_, seen = uninterrupted
    assert list(seen) == [0, *EVALUATIONS]
    experts = [p for p in seen[0] if re.search(r"(keys|query_in|query_out|output_kernel)", p)]
    # Four weights, and Adam's two slots for each.
    assert len(experts) == 12
    no_weights = re.compile(r"(step|moving_mean|moving_variance|learning_rate|iterations?|seed)")
    base = [p for p in seen[0] if p not in experts and not no_weights.search(p.split("/")[-1])]
    # The table with z and n; gamma and beta of two normalisations, W0, its bias and the estimator's two with slots.
    assert len(base) == 3 * 9
    assert moved(seen[0], seen[6], experts) == []
    # The next normalisation removes what a bias adds, so the bias' gradient is 0 up to rounding.
    trained = [p for p in base if "base" not in p or "bias" not in p]
    assert moved(seen[0], seen[6], trained) == trained
    assert moved(seen[6], seen[14], base) == []
    assert moved(seen[6], seen[14], experts) == experts
    assert moved(seen[14], seen[19], trained + experts) == trained + experts
    # Moving statistics follow their inputs in all stages.
    statistics = [p for p in seen[0] if "moving" in p]
    for a, b in ((0, 6), (6, 14), (14, 19)):
        assert len(statistics) == 4 and moved(seen[a], seen[b], statistics) == statistics


def test_counts_and_learning_rates_of_each_stage(uninterrupted):
    _, loop, seen = uninterrupted
    weight, embedding = (
        {step: [float(one[f"{name}/{what}"]) for what in ("iteration", "learning_rate")] for step, one in seen.items()}
        for name in (loop.model.weight_optimizer.name, loop.model.embedding_optimizer.name)
    )
    # The experts join at step 6: Adam's count for them starts there.
    assert [count for count, _ in weight.values()] == [0, 5, 6, 4, 8, 9, 13]
    assert [count for count, _ in embedding.values()] == [0, 5, 6, 6, 6, 7, 11]
    np.testing.assert_allclose([rate for _, rate in weight.values()], [1e-3] * 5 + [1e-4] * 2, rtol=1e-6)
    np.testing.assert_allclose([rate for _, rate in embedding.values()], [0.1] * 5 + [0.01] * 2, rtol=1e-6)


def test_only_the_last_stage_counts_for_the_best_checkpoint_and_for_patience(uninterrupted):
    _, loop, _ = uninterrupted
    # With a patience of 2 and counting from the start, the three evaluations before step 14 could have ended it.
    assert int(loop.evaluation.best_step.numpy()) in (14, 15, 19)
    assert int(loop.evaluation.evaluations_since_best.numpy()) <= 2


def test_tensorboard_shows_stage_and_rates(uninterrupted):
    workdir, _, _ = uninterrupted
    points = {}
    for file in (workdir / "tensorboard" / "training").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                # Images and the layout of the charts are texts.
                if (array := tf.make_ndarray(value.tensor)).dtype == np.float32:
                    points.setdefault(value.tag, {})[event.step] = float(array)
    assert {step: s for step, s in points["schedule/stage"].items() if s == 2.0}.keys() == {9, 10, 12, 14}
    assert [points["schedule/stage"][step] for step in (3, 6, 15, 19)] == [1.0, 1.0, 3.0, 3.0]
    np.testing.assert_allclose(
        [points["learning_rate/weight"][step] for step in (6, 14, 15)], [1e-3, 1e-3, 1e-4], rtol=1e-6
    )
    np.testing.assert_allclose([points["learning_rate/embedding"][step] for step in (6, 15)], [0.1, 0.01], rtol=1e-6)
    assert points["loss/router_z"][6] == 0.0 < points["loss/router_z"][9]
    assert {"layer_1/level_2/load/expert_1", "layer_1/level_1/entropy"} <= points.keys()


@pytest.mark.parametrize("stop_after", [6, 15])
def test_a_resumed_run_ends_bit_equal(uninterrupted, data, stop_after):
    """Interrupted where stage 2 begins, and where the learning rates are those of stage 3; within stage 2: below."""
    workdir, whole, seen = uninterrupted
    resumed = make_loop(data, workdir.with_name(f"killed_at_{stop_after}"))
    assert int(resumed.model.step) == stop_after
    after = run_watched(resumed)
    assert list(after) == [step for step in EVALUATIONS if step > stop_after]
    assert moved(seen[19], after[19], seen[19]) == []
    assert int(resumed.evaluation.best_step.numpy()) == int(whole.evaluation.best_step.numpy())


def test_a_run_that_was_asked_to_end_within_a_stage_goes_on_bit_equal(uninterrupted, data, tmp_path):
    """It ends after the current step, which is not followed by an evaluation."""
    _, whole, seen = uninterrupted
    loop, interrupted = make_loop(data, tmp_path), []

    class Ask(Hook):
        def at_stop(self, stop):
            if stop.step == 6:
                loop.distribution.stop_flag.assign(1)

        def interrupted(self, step):
            interrupted.append(step)

    loop.hooks = (*loop.hooks, Ask())
    with pytest.raises(Stopped, match="after step 7 of 19; a checkpoint was written, and the same command goes on"):
        loop.run()
    assert interrupted == [7]
    resumed = make_loop(data, tmp_path)
    assert resumed.step == 7
    after = run_watched(resumed)
    assert list(after) == [10, 14, 15, 19] and moved(seen[19], after[19], seen[19]) == []
    assert int(resumed.evaluation.best_step.numpy()) == int(whole.evaluation.best_step.numpy())


def test_stages_that_do_not_end_are_one_clear_error(data, tmp_path):
    loop = make_loop(data, tmp_path, small_config(stage_epochs=(0.5, 0.5)))
    with pytest.raises(UserError, match="the last stage begins at step 20, but training ends at 19: lower config"):
        loop.run()


def test_epochs_become_steps(data):
    config = small_config(stage_epochs=(0.0, 1.5))
    assert build_model(config, data).stage_steps == (0, 29)
    with pytest.raises(UserError, match=r"config.model.stage_epochs must be .* received \[1.0\]"):
        build_model(small_config(stage_epochs=(1.0,)), data)


def compiled(model, **arguments):
    model.compile(GroupFtrl(0.1), keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01), **arguments)
    return model


def test_which_stage_a_step_is_in():
    model = compiled(HiLoMoE(num_rows=9, num_fields=3, **SMALL, stage_steps=(4, 3), final_learning_rate_factor=0.5))
    schedule = StageSchedule(model)
    assert [schedule.index(step) for step in range(9)] == [0, 0, 0, 0, 1, 1, 1, 2, 2]
    assert [schedule.next_end(step) for step in (0, 3, 4, 6, 7, 99)] == [4, 4, 7, 7, None, None]
    assert schedule.last_start == 7 and schedule.describe(5) == "stage 2 of 3, experts"
    assert [schedule.enter(step) for step in (0, 1, 4, 6, 8)] == [True, False, True, False, True]
    assert float(model.weight_optimizer.learning_rate) == pytest.approx(0.005)
    # Whole calls of three weight updates.
    assert [StageSchedule(compiled(model), 3).next_end(step) for step in (0, 6)] == [6, 9]


def test_stages_of_no_steps_are_left_out():
    model = compiled(HiLoMoE(num_rows=9, num_fields=3, **SMALL, stage_steps=(0, 0)))
    model.weight_optimizer.iterations.assign(7)
    schedule = StageSchedule(model)
    assert schedule.index(0) == 2 and schedule.enter(0) and schedule.last_start == 0
    assert int(model.weight_optimizer.iterations) == 7
    assert float(model.weight_optimizer.learning_rate) == pytest.approx(0.001)


def test_a_model_without_stages_is_left_alone():
    model = compiled(DNN(num_rows=9, num_fields=3, dimension=2, hidden_units=(4,)))
    step = model._weight_step
    schedule = StageSchedule(model)
    assert not schedule.enter(0) and schedule.next_end(0) is None and schedule.last_start == 0
    assert model._weight_step is step


class StagedEnsemble(AdaEnsemble):
    def stages(self):
        return (Stage("tables wait", 5, frozen=self.embedding_variables), Stage("all"))


def test_weight_updates_of_bilevel_elements_follow_the_stage(data):
    sizes = {"experts": ("dense",), "k": 1, "num_layers": 1, "dimension": 2, "depth_objective": "none"}
    model = compiled(StagedEnsemble(**model_inputs(data.schema), **sizes))
    element = next(iter(pair(data.train(16, gate_share=0.2), data.gate(16, share=0.2), weight_steps=2)))
    schedule = StageSchedule(model, 2)
    states = [values(model)]
    for step in (0, 6):
        assert schedule.enter(step)
        model.training_logs(element)
        states.append(values(model))
    tables = [p for p in states[0] if "table" in p]
    assert len(tables) == 3 and moved(*states[:2], tables) == [] and moved(*states[1:], tables) == tables
    assert moved(*states[:2], ["estimator_1/kernel"]) and moved(*states[1:], ["estimator_1/kernel"])
    with pytest.raises(ValueError, match="gate update does not support stages: xi must be 0; received 0.1"):
        compiled(StagedEnsemble(num_rows=9, num_fields=3, **sizes), xi=0.1)
