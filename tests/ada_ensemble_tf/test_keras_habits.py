"""What a Keras user does without reading: it works, or one line says what to write."""

import json

import keras
import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from command_line import ROOT
from prepared_rows import write_rows
from small_ada_ensemble import FIELDS, ROWS, small_model, some_ids, some_labels

import ada_ensemble_tf
from ada_ensemble_tf import AdaEnsemble, TableEncoder, load_run, open_data
from ada_ensemble_tf.layers.precision import layers_of
from ada_ensemble_tf.models import DNN, LogisticRegression
from ada_ensemble_tf.optimizers import DEFAULTS, OPTIMIZERS, GroupFtrl
from ada_ensemble_tf.trained.workdir import Workdir
from ada_ensemble_tf.updates.callbacks import ScaleLearningRates
from ada_ensemble_tf.updates.labels import click_labels
from data_pipelines.errors import UserError

IDS, LABELS = some_ids(64), some_labels(64)


def small_dnn() -> DNN:
    keras.utils.set_random_seed(1)
    return DNN(num_rows=ROWS, num_fields=FIELDS, dimension=2, hidden_units=(4,))


@pytest.fixture(scope="module")
def gated() -> AdaEnsemble:
    """A model with gates, compiled without arguments and fitted for two steps."""
    model = small_model(num_layers=1, experts=("dense", "cross"), k=1)
    model.compile()
    model.fit(IDS, LABELS, batch_size=32, verbose=0)
    return model


def test_the_package_has_what_a_user_needs_first():
    assert all(getattr(ada_ensemble_tf, name) is not None for name in ada_ensemble_tf.__all__)
    assert set(ada_ensemble_tf._PLACES) | {"__version__"} == set(ada_ensemble_tf.__all__)
    with pytest.raises(AttributeError, match="no attribute 'DNN'; models are in ada_ensemble_tf.models"):
        _ = ada_ensemble_tf.DNN


def test_compile_without_arguments_gives_all_three_groups_the_defaults(gated):
    found = {"embedding_optimizer": gated.embedding_optimizer, "weight_optimizer": gated.weight_optimizer}
    found["gate_optimizer"] = gated.gate_optimizer
    assert isinstance(gated.embedding_optimizer, GroupFtrl)
    for group, optimizer in found.items():
        config = optimizer.get_config()
        assert {key: config[key] for key in DEFAULTS[group]} == pytest.approx(DEFAULTS[group])
    assert gated.weight_optimizer is not gated.gate_optimizer and int(gated.step) == 2


def test_compile_with_one_optimizer():
    model = small_model(num_layers=1, experts=("dense", "cross"), k=1)
    model.compile(optimizer="adam", loss="binary_crossentropy")
    optimizers = [optimizer for optimizer, _ in model.groups().values()]
    assert [type(one) for one in optimizers] == [OPTIMIZERS["adam"]] * 3 and len(set(map(id, optimizers))) == 3
    model.compile(optimizer=keras.optimizers.RMSprop(0.25), gate_optimizer=keras.optimizers.SGD(0.5))
    assert [float(one.learning_rate) for one, _ in model.groups().values()] == [0.25, 0.25, 0.5]
    assert type(model.embedding_optimizer) is keras.optimizers.RMSprop is not type(model.gate_optimizer)
    model.compile(optimizer="rmsprop")
    assert type(model.weight_optimizer) is keras.optimizers.RMSprop
    with pytest.raises(ValueError, match="embedding_optimizer='adam'.* or write optimizer=\"adam\" for all variables"):
        model.compile("adam")
    with pytest.raises(ValueError, match="the loss is LogLoss with the model's own terms.*received loss='mse'"):
        model.compile(loss="mse")


def test_metrics(tmp_path):
    model = small_dnn()
    model.compile(metrics=["accuracy", "AUC", keras.metrics.Precision(name="precision")])
    found = model.evaluate(IDS, LABELS, batch_size=48, return_dict=True, verbose=0)
    assert set(found) == {"loss", "auc", "log_loss", "binary_accuracy", "precision"}
    probabilities = model.predict(IDS, verbose=0)
    assert found["binary_accuracy"] == pytest.approx(np.mean((probabilities > 0.5) == LABELS.numpy()))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.evaluate(IDS, LABELS, batch_size=48, return_dict=True, verbose=0) == pytest.approx(found)
    with pytest.raises(ValueError, match=r"metrics=\['auc'\]: evaluate reports them anyway"):
        model.compile(metrics=[keras.metrics.AUC(name="auc")])


def test_val_loss_is_the_objective_so_early_stopping_works_as_it_is():
    model = small_dnn()
    model.compile()
    # It watches val_loss. No second epoch improves that by 9.
    stop = keras.callbacks.EarlyStopping(min_delta=9.0, restore_best_weights=True)
    history = model.fit(IDS, LABELS, validation_data=(IDS, LABELS), epochs=4, verbose=0, callbacks=[stop]).history
    assert len(history["val_loss"]) == 2
    terms = model.objective(model.forward(IDS), LABELS)
    found = model.evaluate(IDS, LABELS, return_dict=True, verbose=0)
    assert found["loss"] == pytest.approx(float(sum(terms.values())), rel=1e-5)
    assert found["loss"] > found["log_loss"]


def test_labels_of_any_type_and_of_shape_b_1_train_and_score_alike():
    for dtype in (np.int64, np.float64, bool):
        for shape in ((-1,), (-1, 1)):
            np.testing.assert_array_equal(click_labels(LABELS.numpy().astype(dtype).reshape(shape)), LABELS)
    column, models = LABELS.numpy().astype(np.int64)[:, None], [small_dnn(), small_dnn()]
    for model, labels in zip(models, (LABELS, column), strict=True):
        model.compile()
        model.fit(tf.cast(IDS, tf.int64), labels, validation_data=(IDS, column), shuffle=False, verbose=0)
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_labels_outside_0_to_1_are_refused(gated):
    for bad in (-1.0, 2.0, float("nan")):
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be 0 or 1, or between them"):
            click_labels([0.0, bad])
    labels = LABELS.numpy().copy()
    labels[3] = 2.0
    for method in (gated.fit, gated.evaluate):
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be 0 or 1, or between them"):
            method(IDS, labels, batch_size=32, verbose=0)
    with pytest.raises(ValueError, match=r"labels must be of shape \[B\] or \[B, 1\]; received \(64, 2\)"):
        click_labels(np.zeros((64, 2)))
    # Keras traces with an unknown shape after it has seen two.
    unknown = tf.function(click_labels, input_signature=[tf.TensorSpec(None, tf.int64)], autograph=False)
    np.testing.assert_array_equal(unknown([[1], [0]]), [1.0, 0.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels must be of shape \[B\] or \[B, 1\]"):
        unknown([[1, 0], [0, 1]])


def test_sample_weight_and_class_weight():
    """A row of weight 2 counts as two rows in `evaluate`; `class_weight` is the weight of a class's rows."""
    weights = np.arange(64) % 3
    models = [small_dnn(), small_dnn(), small_dnn()]
    for model in models:
        model.compile(metrics=["accuracy"])
    found = models[0].evaluate(IDS, LABELS, sample_weight=weights, return_dict=True, verbose=0)
    repeated = (np.repeat(one.numpy(), weights, axis=0) for one in (IDS, LABELS))
    expected = models[0].evaluate(*repeated, return_dict=True, verbose=0)
    assert found == pytest.approx(expected, rel=1e-5)
    by_class = {0: 1.0, 1: 3.0}
    models[0].fit(IDS, LABELS, class_weight=by_class, shuffle=False, verbose=0)
    rows = np.array([by_class[int(label)] for label in LABELS])
    models[1].fit(IDS, LABELS, sample_weight=rows, shuffle=False, verbose=0)
    models[2].fit(IDS, LABELS, shuffle=False, verbose=0)
    first, second, plain = (model.get_weights() for model in models)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any((one != other).any() for one, other in zip(first, plain, strict=True))


def test_learning_rate_callbacks(gated):
    """Keras' own reach the weight optimiser, as `compile` says; ours reaches all three."""
    model = small_model(num_layers=1, experts=("dense", "cross"), k=1)
    model.compile()
    before = {name: float(optimizer.learning_rate) for name, (optimizer, _) in model.groups().items()}
    assert model.optimizer is model.weight_optimizer
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
    schedule.set_model(model)
    schedule.on_epoch_begin(0)
    rates = {name: float(optimizer.learning_rate) for name, (optimizer, _) in model.groups().items()}
    assert rates == pytest.approx(before | {"weight": 0.5 * before["weight"]})
    ours = ScaleLearningRates(lambda epoch: 0.5 ** (epoch + 1))
    ours.set_model(model)
    ours.on_train_begin()
    for epoch in (0, 1):
        ours.on_epoch_begin(epoch)
    found = {name: float(optimizer.learning_rate) for name, (optimizer, _) in model.groups().items()}
    assert found == pytest.approx({name: 0.25 * rate for name, rate in rates.items()})


def test_export_without_a_signature(gated, tmp_path):
    gated.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(served.serve(IDS), gated.predict(IDS, verbose=0), rtol=1e-5)


def test_mixed_float16_is_refused_by_name():
    with (
        layers_of("mixed_float16"),
        pytest.raises(ValueError, match="DNN: the policy 'mixed_float16' is not supported"),
    ):
        small_dnn()
    with layers_of("mixed_bfloat16"):
        assert small_dnn()(IDS).dtype == tf.float32


def test_plot_model(gated):
    pytest.importorskip("pydot")
    graph = keras.utils.model_to_dot(gated, show_layer_names=True)
    assert "ada_ensemble" in graph.to_string()


def test_from_schema_of_a_table_with_multi_valued_and_value_fields(tmp_path):
    """Without knowing `widths` and `value_rows`."""
    data, _ = write_rows(tmp_path, {"train": 64, "validation": 16, "test": 16}, files=1)
    model = LogisticRegression.from_schema(data.schema)
    model.compile()
    history = model.fit(data.train(32, epochs=1), validation_data=data.evaluation("validation", 16), verbose=0).history
    assert np.isfinite(history["val_loss"][0]) and model.widths == data.schema.widths
    with pytest.raises(TypeError, match="LogisticRegression has no argument l3"):
        LogisticRegression.from_schema(data.schema, l3=0.1)


def test_load_run_scores_tables_as_training_read_them(small_run, criteo_raw_file):
    """Dictionaries of columns, Polars, pandas and Arrow tables, with values of their own types."""
    trained = load_run(small_run)
    assert isinstance(trained.model, LogisticRegression) and trained.results["test"]["auc"] > 0.4
    assert (
        trained.config["batch_size"] == 512 == json.loads((small_run / "train_config.json").read_text())["batch_size"]
    )
    names = [field.column for field in trained.schema.fields]
    numbers = [name for name in names if name.startswith("I")]
    lines = [line.split("\t") for line in criteo_raw_file.read_text().splitlines()[:300]]
    text = pl.DataFrame({name: [line[1 + i] for line in lines] for i, name in enumerate(names)})
    typed = text.with_columns(pl.col(name).replace("", None).cast(pl.Int64) for name in numbers)
    expected = trained.predict(text)
    assert expected.shape == (300,) and expected.std() > 0.0
    np.testing.assert_array_equal(expected, Workdir(small_run).load_model().predict(trained.encode(text), verbose=0))
    pandas = pytest.importorskip("pandas")
    for table in (
        typed,
        text.to_dict(as_series=False),
        typed.to_arrow(),
        pandas.DataFrame(typed.to_dict(as_series=False)),
    ):
        np.testing.assert_array_equal(trained.predict(table), expected)


def test_fit_on_a_data_frame_by_the_adapter(prepared_criteo, criteo_raw_file):
    data = open_data(prepared_criteo)
    encoder = TableEncoder(data.schema, data.path)
    names = ["label", *(field.column for field in data.schema.fields)]
    lines = [line.split("\t") for line in criteo_raw_file.read_text().splitlines()[:256]]
    frame = pl.DataFrame({name: [line[i] for line in lines] for i, name in enumerate(names)})
    model = LogisticRegression.from_schema(data.schema)
    model.compile()
    model.fit(encoder(frame), encoder.labels(frame), batch_size=64, verbose=0)
    assert int(model.step) == 4
    np.testing.assert_array_equal(encoder.labels(frame), frame["label"].cast(pl.Float32))
    with pytest.raises(UserError, match="the table has no column C3; it has"):
        encoder(frame.drop("C3"))
    with pytest.raises(UserError, match="row 1 of the table: .*'abc' is not an integer"):
        encoder(frame.with_columns(pl.Series("I3", ["1", "abc"] + [""] * 254)))
    with pytest.raises(UserError, match="row 0 of the table: .*'7'"):
        encoder.labels(frame.with_columns(label=pl.lit("7")))
    with pytest.raises(
        UserError, match="a table is a DataFrame, an Arrow table or a dictionary of columns; received int"
    ):
        encoder(3)


def test_the_example_configs_and_compile_have_the_same_defaults():
    from ada_ensemble_tf.configs.defaults import trainer

    config = trainer()
    assert {group: {key: config[group][key] for key in values} for group, values in DEFAULTS.items()} == DEFAULTS
    assert (ROOT / "ada_ensemble_tf" / "py.typed").exists()
