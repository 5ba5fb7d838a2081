"""Trainings that go on, on the same data as if never ended or with a larger table, and that take weights by name."""

import logging
import shutil

import keras
import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from daily_rows import ADS, SCHEMA, prepare_day, prepare_days, write_day
from tensorflow.python.framework.config import disable_op_determinism

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.inference.tables import TableEncoder
from ada_ensemble_tf.serving.signatures import ServedModel
from ada_ensemble_tf.trained.checkpoint import SavedValues, saved_names
from ada_ensemble_tf.trained.start_file import START_FILE, Start, load_start
from ada_ensemble_tf.trained.workdir import Workdir
from ada_ensemble_tf.training import continuation
from ada_ensemble_tf.training.beginnings import beginning
from ada_ensemble_tf.training.continuation import arguments_for
from ada_ensemble_tf.training.loop import TrainingLoop
from ada_ensemble_tf.training.plan import Plan
from ada_ensemble_tf.training.run import train
from ada_ensemble_tf.training.setup import build_model, compile_model, model_from, seed_everything
from ada_ensemble_tf.training.vectors import start_from_vectors
from data_pipelines.errors import UserError
from data_pipelines.fields.extension import rows_before
from data_pipelines.fields.vectors import load_vectors
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats.tabular import parse_schema

DURATIONS = ("seconds", "timed_steps")


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    return prepare_days(tmp_path_factory.mktemp("days"))


@pytest.fixture(autouse=True)
def deterministic_ops():
    yield
    disable_op_determinism()


def config_of(model="deepfm", **more):
    config = config_for(model)
    config.update({"batch_size": 42, "eval_batch_size": 256, "eval_every": 5, "patience": 100, "max_steps": 10})
    config.update({"deterministic": True, "weight_steps": 2, "average_last": 2, **more})
    config.model.dimension = 2
    if model == "ada_ensemble":
        config.model.update({"num_layers": 1, "experts": ("cross", "identity"), "k": 1, "anneal_epochs": 0.6})
        config.model.gate.name = "gumbel_top_k"
    if model == "deepfm":
        config.model.update({"hidden_units": (4,), "dropout": 0.2})
        config.embedding_optimizer = {"name": "sparse_adam", "learning_rate": 0.01, "catch_up": True}
    return config


def train_in(workdir, config, data, **start):
    keras.utils.clear_session()
    return train(config, data, workdir, **start)


@pytest.fixture(scope="module")
def first(days, tmp_path_factory):
    """DeepFM trained on the first day."""
    workdir = tmp_path_factory.mktemp("first") / "run"
    train_in(workdir, config_of(), days[0])
    disable_op_determinism()
    return workdir


def saved(workdir, kind="last"):
    values = SavedValues(workdir / "checkpoints" / kind)
    names = [name for name in values.names if not any(part in name for part in DURATIONS)]
    return {name: values.value(name) for name in names}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_on_the_same_data_it_equals_a_training_that_never_ended(days, first, tmp_path):
    # The first training ended within an epoch. Everything is alike, dropout and the average of evaluations included.
    whole = train_in(tmp_path / "whole", config_of(max_steps=20), days[0])
    rest = train_in(tmp_path / "rest", config_of(), days[0], continue_from=first)
    for kind in ("last", "best"):
        assert_equal(saved(tmp_path / "whole", kind), saved(tmp_path / "rest", kind))
    start = load_start(tmp_path / "rest")
    assert (start.kind, start.step, start.first_step) == ("continued", 10, 0)
    assert rest["start"]["workdir"] == str(first) and rest["test"] == whole["test"]


def loop_of(workdir, config, data, before=None, warm=None):
    """A training loop before its first step, and how it begins."""
    keras.utils.clear_session()
    seed_everything(config.seed, deterministic=True)
    begin = beginning(workdir, config, data, before, warm)
    model = build_model(config, data) if begin.arguments is None else model_from(begin.arguments, config.model.name)
    start_from_vectors(model, data)
    compile_model(model, config)
    return TrainingLoop(model, data, config, workdir, beginning=begin)


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


def levels_of(vocabularies):
    fields = vocabularies.schema.fields
    return [(f.name, level) for f in fields for level in (None, *vocabularies.levels[f.name].to_list())]


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
    from ada_ensemble_tf.devices.distribution import Distribution

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


def vector_schema(folder, seed):
    """(format, inputs) whose ads have vectors that stay and whose users have some that learn."""
    rng = np.random.default_rng(seed)
    for name, ids in (("ad", "abcdefg"), ("user", [f"u{i}" for i in range(0, 45, 2)])):
        vectors = rng.normal(0, 0.1, (len(ids), 2)).astype(np.float32).tolist()
        pl.DataFrame({"id": list(ids), "vector": vectors}).write_parquet(folder / f"{name}.parquet")
    more = {"ad": {"vectors": "ad.parquet", "frozen": True}, "user": {"vectors": "user.parquet"}}
    fields = [field | more.get(field["name"], {}) for field in SCHEMA["fields"]]
    return parse_schema({"label": "y", "fields": fields}, str(folder / "s.json"))


def test_fields_with_vectors_go_on_and_new_levels_begin_with_theirs(tmp_path):
    config = config_of("factorization_machine", max_steps=4)
    days = []
    for number in (0, 1):
        # The second day has vectors of its own, which frozen rows follow.
        schema = vector_schema(tmp_path, seed=number)
        raw = write_day(tmp_path / f"{number}.csv", ADS[number], rows=300, seed=number)
        old = days[0].path if days else None
        days.append(prepare_day(raw, tmp_path / f"data_{number}", old, schema=schema))
    train_in(tmp_path / "run", config, days[0])
    values = SavedValues(tmp_path / "run" / "checkpoints" / "last")
    before = values.value(values.by_path()["embedding.table"])
    loop = loop_of(tmp_path / "next", config, days[1], tmp_path / "run")
    table = loop.model.embedding.table.numpy()
    old, new = (levels_of(Vocabularies.load(day.path, day.schema)) for day in days)
    vectors = {}
    for field in days[1].schema.fields:
        if field.vector_width:
            vectors |= dict(zip(*map(list, load_vectors(days[1].path, days[1].schema, field)), strict=True))
    # u20 and later ones are of the second day alone; users with even numbers have vectors.
    seen = {"ad": set(), "user": set()}
    for row, (name, level) in enumerate(new):
        if row in vectors and (name == "ad" or (name, level) not in old):
            seen[name].add(level)
            np.testing.assert_array_equal(table[row], vectors[row])
        elif (name, level) in old:
            np.testing.assert_array_equal(table[row], before[old.index((name, level))])
    assert seen["ad"] == set("abcdef") and "u22" in seen["user"] and "u21" not in seen["user"]
    loop.run()
    end = loop.model.embedding.table.numpy()
    frozen = [row for row in vectors if new[row][0] == "ad"]
    learned = [row for row in vectors if new[row][0] == "user"]
    np.testing.assert_array_equal(end[frozen], table[frozen])
    assert (end[learned] != table[learned]).any(axis=1).mean() > 0.5


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO, "ada_ensemble_tf")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("optimizer", ["group_ftrl", "sparse_adam"])
def test_a_warm_start_takes_rows_by_level_and_new_optimisers_agree_with_them(days, first, tmp_path, told, optimizer):
    data = prepare_day(write_day(tmp_path / "alone.csv", "fbxa", seed=9), tmp_path / "alone")
    config = config_of(batch_size=7)
    config.embedding_optimizer = dict(config_for("deepfm").embedding_optimizer) | {"name": optimizer}
    if optimizer == "sparse_adam":
        config.embedding_optimizer = {"name": optimizer, "learning_rate": 0.1}
    config.update({"average_last": 1, "ema_momentum": 0.9})
    fresh = loop_of(tmp_path / "fresh", config, data).model
    begun, known_state = fresh.embedding.table.numpy(), fresh.embedding_optimizer.slots(fresh.embedding.table)
    loop = loop_of(tmp_path / "run", config, data, warm=first)
    model, values = loop.model, SavedValues(first / "checkpoints" / "best")
    best = {name: values.value(saved) for name, saved in values.by_path().items()}
    vocabularies = [Vocabularies.load(path, schema) for path, schema in (
        (first, Workdir(first).schema()), (data.path, data.schema))]  # fmt: skip
    old, new = map(levels_of, vocabularies)
    table, known = model.embedding.table.numpy(), [level in old for level in new]
    assert ("ad", "x") in new and ("ad", "x") not in old and 0 < sum(known) < len(new)
    for row, level in enumerate(new):
        np.testing.assert_array_equal(
            table[row], best["embedding.table"][old.index(level)] if known[row] else begun[row]
        )
    np.testing.assert_array_equal(model.estimator.weights[0].numpy(), best["estimator.kernel"])
    assert int(model.step) == 0 and loop.plan.max_steps == 10
    # Moving averages begin with the weights that were taken, not with those that the model began with.
    np.testing.assert_array_equal(model.embedding_optimizer.averaged(model.embedding.table), table)
    slots = model.embedding_optimizer.slots_by_name(model.embedding.table)
    if optimizer == "group_ftrl":
        # Equation of the update without a gradient: the state gives the weights that were taken.
        one, z = config.embedding_optimizer, slots["z"].numpy()
        norm = np.linalg.norm(z, axis=1, keepdims=True)
        ridge = one.beta / one.learning_rate + one.l2
        with np.errstate(invalid="ignore"):
            formula = -z * (1 - one.l1 * 2**0.5 / norm) / ridge
        np.testing.assert_allclose(formula[known], table[known], rtol=1e-4, atol=1e-7)
        np.testing.assert_array_equal(z[~np.array(known)], known_state[0].numpy()[~np.array(known)])
        assert not slots["n"].numpy().any()
    else:
        assert not any(slot.numpy().any() for slot in slots.values())
    took = f"took 10 of 10 variables from {first}, with {sum(known):,} of {len(new):,} rows of each table"
    assert took in told()


def test_a_warm_start_tells_what_it_does_not_take(days, first, tmp_path, told, monkeypatch):
    config = config_of("dcn_v2")
    loop_of(tmp_path / "run", config, days[0], warm=first)
    lines = told()
    assert "not taken: cross_1/dense/kernel: absent there" in lines
    assert "not taken: estimator/kernel: of shape [4] there, [400] here" in lines
    other = config_of()
    other.model.dimension = 3
    loop_of(tmp_path / "run", other, days[0], warm=first)
    assert "not taken: embedding/table: of shape [28, 2] there, [28, 3] here" in told()
    with pytest.raises(UserError, match="--warm_start=.*/none: no trained model there; name the --workdir of a"):
        loop_of(tmp_path / "run", config, days[0], warm=tmp_path / "none")
    with pytest.raises(UserError, match=r"--continue_from=\S+ and --warm_start=\S+: give one of them"):
        loop_of(tmp_path / "run", config, days[0], first, first)
    monkeypatch.setattr(SavedValues, "by_path", lambda self: {})
    with pytest.raises(UserError, match="no variable there has a name and shape of this model's; leave it out"):
        loop_of(tmp_path / "run", config, days[0], warm=first)
