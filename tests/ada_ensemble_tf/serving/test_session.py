import numpy as np
import pytest

from ada_ensemble_tf.serving.session import ServingSession
from data_pipelines.errors import UserError


def test_requests_that_do_not_fit_are_told_by_name(linear):
    feed = linear.rows.feed("serving_default", [0, 1])
    with pytest.raises(UserError, match="no signature 'score'; there are classify, examples"):
        linear.session("score", feed)
    with pytest.raises(UserError, match="signature serving_default: input weekday_column_65a5ad is missing"):
        some = {name: text for name, text in feed.items() if name != "weekday_column_65a5ad"}
        linear.session("serving_default", some)
    with pytest.raises(UserError, match="unknown input week; it takes "):
        linear.session("serving_default", feed | {"week": feed["text_column_51478a"]})
    with pytest.raises(UserError, match="input value_column_17a25d takes string, received int64"):
        linear.session("serving_default", feed | {"value_column_17a25d": np.array([1, 2])})
    with pytest.raises(UserError, match="input ids takes int32, received int64"):
        linear.session("ids", linear.rows.feed("ids", [0]) | {"ids": np.zeros((1, 13), np.int64)})


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(UserError, match="no SavedModel here; name a version's folder"):
        ServingSession(tmp_path)
