"""Trainings that go on: on the same data as if never ended, or with a larger table."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from daily_rows import prepare_day, write_day
from daily_training import assert_equal, config_of, levels_of, loop_of, saved, train_in

from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.inference.tables import TableEncoder
from ada_ensemble_tf.serving.signatures import ServedModel
from ada_ensemble_tf.trained.checkpoint import SavedValues, saved_names
from ada_ensemble_tf.trained.start_file import START_FILE, Start, load_start
from ada_ensemble_tf.trained.workdir import Workdir
from ada_ensemble_tf.training import continuation
from ada_ensemble_tf.training.continuation import arguments_for
from ada_ensemble_tf.training.plan import Plan
from ada_ensemble_tf.training.setup import build_model, compile_model, seed_everything
from data_pipelines.errors import UserError
from data_pipelines.fields.extension import rows_before
from data_pipelines.fields.vocabulary import Vocabularies


def test_on_the_same_data_it_equals_a_training_that_never_ended(days, first, tmp_path):
    # The first training ended within an epoch. Everything is alike, dropout and the average of evaluations included.
    whole = train_in(tmp_path / "whole", config_of(max_steps=20), days[0])
    rest = train_in(tmp_path / "rest", config_of(), days[0], continue_from=first)
    for kind in ("last", "best"):
        assert_equal(saved(tmp_path / "whole", kind), saved(tmp_path / "rest", kind))
    start = load_start(tmp_path / "rest")
    assert (start.kind, start.step, start.first_step) == ("continued", 10, 0)
    assert rest["start"]["workdir"] == str(first) and rest["test"] == whole["test"]


@pytest.mark.parametrize("day", [1, 2])
def test_tables_and_their_optimiser_state_grow_and_rows_of_retired_levels_begin_anew(days, first, tmp_path, day):
    config, data = config_of(), days[day]
    fresh = loop_of(tmp_path / "fresh", config, data).model
    begun = {v.path: v.numpy() for v in (*fresh.variables, *fresh.embedding_optimizer.variables)}
    model = loop_of(tmp_path / "run", config, data, first).model
    values = SavedValues(first / "checkpoints" / "last")
    before = {name: values.value(saved) for name, saved in values.by_path().items()}
    old, new = (Vocabularies.load(path, Workdir(first).schema() if path == first else data.schema)
                for path in (first, data.path))  # fmt: skip
    checked = set()
    for v in (*model.variables, *model.optimizer_variables):
        was = before[v.path.replace("/", ".")]
        if v.shape[:1] != (data.schema.num_rows,):
            np.testing.assert_array_equal(v.numpy(), was, err_msg=v.path)
            continue
        checked.add(v.path.split("/")[-1].split("_")[-1])
        for row, level in enumerate(levels_of(new)):
            place = levels_of(old).index(level) if level in levels_of(old) else None
            expected = begun[v.path][row] if place is None else was[place]
            np.testing.assert_array_equal(v.numpy()[row], expected, err_msg=f"{v.path} {level}")
    assert checked == {"table", "momentum", "velocity", "step"}
    assert int(model.step) == 10 and np.abs(before["sparse_adam.embedding_table_velocity"]).max() > 0
    # On day 3 an ad takes the row of one that retired: a row of the first table is nowhere in the last one.
    rows = rows_before(old, new)
    assert len(rows) > old.schema.num_rows == (rows >= 0).sum() + (day == 2)


def test_the_served_graph_scores_old_levels_as_before_and_new_ones_by_their_rows(days, first, tmp_path):
    model = loop_of(tmp_path / "run", config_of(), days[2], first).model
    old, values = Workdir(first).load_model(), SavedValues(first / "checkpoints" / "last")
    for variable, name in zip(old.variables, saved_names(old.variables), strict=True):
        variable.assign(values.value(name))
    ads = ["a", "b", "e", "g", "never", ""]
    raw = {"ad": ads, "price": ["3", "", "7", "1", "2", "5"], "user": [f"u{i}" for i in (1, 2, 40, 3, 4, 99)]}
    texts = {name: tf.constant(text) for name, text in raw.items()}
    served = ServedModel(model, days[2].schema, days[2].path).signature(**texts)["ctr"].numpy()
    np.testing.assert_allclose(served, model(TableEncoder(days[2].schema, days[2].path)(raw)), rtol=1e-6)
    before = old(TableEncoder(Workdir(first).schema(), first)(raw)).numpy()
    # a and b are levels of both days, and so are u1 and u2; e, g and u40 are new, and begin with rows of their own.
    np.testing.assert_allclose(served[:2], before[:2], rtol=1e-6)
    assert (np.abs(served - before)[2:4] > 1e-6).all()
    assert served[4:] == pytest.approx(before[4:], rel=1e-6)


def test_a_continued_training_reads_all_new_rows_and_goes_on_after_a_kill(days, first, tmp_path):
    config = config_of()
    results = train_in(tmp_path / "run", config, days[1], continue_from=first)
    assert load_start(tmp_path / "run") == Start("continued", str(first), days[0].fingerprint, 10, 10)
    assert results["start"]["first_step"] == 10 and results["best_step"] > 10
    # Killed after its first evaluation: the other training is needed no more.
    stopped = config_of(max_steps=5)
    train_in(tmp_path / "killed", stopped, days[1], continue_from=first)
    first.rename(first.with_name("moved"))
    try:
        again = train_in(tmp_path / "killed", config, days[1], continue_from=first)
    finally:
        first.with_name("moved").rename(first)
    assert_equal(saved(tmp_path / "run"), saved(tmp_path / "killed"))
    assert again["test"] == results["test"]
    model = Workdir(tmp_path / "run").load_model()
    assert model.num_rows == days[1].schema.num_rows


def test_the_plan_counts_rows_and_stops_from_the_first_row(days):
    config = config_of("ada_ensemble", gate_share=0.2)
    seed_everything(0, deterministic=False)
    model = build_model(config, days[0])
    compile_model(model, config)
    new = Plan(model, days[0], config, Distribution())
    moved = Plan(model, days[0], config, Distribution(), Start("continued", "d", "f", step=107, first_step=101))
    assert moved.max_steps == 107 + new.max_steps and new.max_steps == 10
    assert [new.next_stop(step) + 101 for step in range(6)] == [moved.next_stop(step + 101) for step in range(6)]
    for one, other in zip(new.elements(4).take(2), moved.elements(105).take(2), strict=True):
        for kind in ("train", "gate"):
            np.testing.assert_array_equal(one[kind][0]["ids"], other[kind][0]["ids"])


def test_what_does_not_fit_is_refused(days, first, tmp_path):
    config, run = config_of(), tmp_path / "run"

    def refused(match, config=config, data=days[1], workdir=run, before=first):
        with pytest.raises(UserError, match=match):
            train_in(workdir, config, data, continue_from=before)

    refused("trained with config.batch_size=42, now 7; keep the config, or take the weights alone with --warm_start",
            config_of(batch_size=7))  # fmt: skip
    refused("a training of another model, 'deepfm', not of 'dcn_v2'", config_of("dcn_v2"))
    alone = prepare_day(write_day(tmp_path / "alone.csv", "ab", seed=9), tmp_path / "alone")
    refused(f"does not extend the data that .* was trained on; prepare it with --extend={days[0].path}", data=alone)
    rate = prepare_day(tmp_path / "alone.csv", tmp_path / "rate", days[0].path, negative_rate=0.5)
    refused("prepared with --negative_rate=0.5, but .* was trained with 1; prepare it with the same rate", data=rate)
    refused("--continue_from=.*/none: no complete training there", before=tmp_path / "none")
    refused("is the --workdir itself; give another --workdir", workdir=first)
    crossed = {**arguments_for(first, days[1]), "crosses": [[0, 1]]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuation, "arguments_for", lambda *_: crossed)
        refused("config.model.crosses hash row numbers, which an extension moves; declare them as cross fields")
    assert not run.exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuation, "row_layers", lambda model: [])
        with pytest.raises(UserError, match=r"table has shape \(28, \d\) there and \(40, \d\) here, and it"):
            loop_of(tmp_path / "rows", config, days[2], first)
    shutil.copytree(first, tmp_path / "copy")
    refused("began with new weights, not with --continue_from=.*; choose another", data=days[0],
            workdir=tmp_path / "copy")  # fmt: skip
    assert not (tmp_path / "copy" / START_FILE).exists()
