import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from ada_ensemble_tf.serving.warmup import BATCH_SIZES, FILE, replay_warmup
from data_pipelines.errors import UserError


def test_each_signature_and_size_is_requested_with_rows_of_data(mixture):
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(mixture.folder / FILE))
    ]
    assert len(logs) == len(BATCH_SIZES) * 6
    predict = [log.predict_log.request for log in logs if log.HasField("predict_log")]
    assert {r.model_spec.signature_name for r in predict} == {"serving_default", "examples", "ids", "explain"}
    for request in predict:
        size = request.inputs[next(iter(request.inputs))].tensor_shape.dim[0].size
        assert size in BATCH_SIZES
        feed = mixture.rows.feed(request.model_spec.signature_name, np.arange(size) % mixture.rows.real)
        assert feed.keys() == request.inputs.keys()
        for name, value in feed.items():
            assert tf.make_ndarray(request.inputs[name]).tolist() == value.tolist()
    for kind in ("classify_log", "regress_log"):
        examples = [getattr(log, kind).request.input.example_list.examples for log in logs if log.HasField(kind)]
        assert [len(some) for some in examples] == list(BATCH_SIZES)
        assert examples[0][0].SerializeToString(deterministic=True) == mixture.rows.examples[0]


def test_replaying_asks_the_session_for_each(mixture):
    asked = []

    def session(signature, feed):
        asked.append((signature, len(next(iter(feed.values())))))
        return mixture.session(signature, feed)

    assert replay_warmup(mixture.folder, session) == len(BATCH_SIZES) * 6
    assert sorted(asked) == sorted((name, size) for name in mixture.session.signatures for size in BATCH_SIZES)


def test_no_file_is_told(mixture, tmp_path):
    with pytest.raises(UserError, match="no warm-up requests; export with tensorflow-serving-api installed"):
        replay_warmup(tmp_path, mixture.session)
