"""Warm-up requests, which TF Serving replays when it loads a model, so that the first request need not wait.

TensorFlow optimises a signature's graph at the first request, which takes seconds.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.serving.golden_rows import GoldenRows
from ada_ensemble_tf.serving.session import ServingSession
from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError, extra_missing

FILE = "assets.extra/tf_serving_warmup_requests"
BATCH_SIZES = (1, 8, 64)
"""Rows per request; each signature gets a request of each size."""


def write_warmup(folder: str | Path, session: ServingSession, rows: GoldenRows, name: str) -> int:
    """Writes `FILE`: a request for each signature and batch size, of rows that came from data.

    Args:
        folder: the SavedModel's folder.
        session: the SavedModel's session.
        rows: the rows that requests are made from.
        name: the model's name in TF Serving; warm-up does not read it.

    Returns:
        The number of requests.

    Raises:
        UserError: if tensorflow-serving-api is not installed.
    """
    messages = _messages()
    (Path(folder) / FILE).parent.mkdir(exist_ok=True)
    count = 0
    with tf.io.TFRecordWriter(str(Path(folder) / FILE)) as writer:
        for signature in session.signatures:
            for size in BATCH_SIZES:
                feed = rows.feed(signature, np.arange(size) % rows.real)
                writer.write(_log(messages, signature, feed, name).SerializeToString())
                count += 1
    return count


def replay_warmup(folder: str | Path, session: ServingSession) -> int:
    """Sends the requests in `FILE`, as TF Serving does when it loads the model; returns their number.

    Raises:
        UserError: if there is no such file, or tensorflow-serving-api is not installed.
    """
    path = Path(folder) / FILE
    if not path.exists():
        raise UserError(f"{path}: no warm-up requests; export with tensorflow-serving-api installed")
    Checksums(folder).check(FILE)
    messages, count = _messages(), 0
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = messages.prediction_log_pb2.PredictionLog.FromString(record)
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request
        if kind == "predict_log":
            feed = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        else:
            examples = [example.SerializeToString() for example in request.input.example_list.examples]
            feed = {"inputs": np.array(examples, object)}
        session(request.model_spec.signature_name, feed)
        count += 1
    return count


def _log(messages: ModuleType, signature: str, feed: dict[str, np.ndarray], name: str) -> Any:
    log = messages.prediction_log_pb2.PredictionLog()
    if signature in ("classify", "regress"):
        request = (log.classify_log if signature == "classify" else log.regress_log).request
        for serialized in feed["inputs"]:
            request.input.example_list.examples.add().ParseFromString(serialized)
    else:
        request = log.predict_log.request
        for key, value in feed.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    return log


def _messages() -> ModuleType:
    try:
        from tensorflow_serving import apis
        from tensorflow_serving.apis import prediction_log_pb2  # noqa: F401 - makes it an attribute of apis
    except ImportError:
        raise extra_missing("writing warm-up requests", "tensorflow-serving-api", "serving") from None
    return apis
