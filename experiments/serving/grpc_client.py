"""Sends requests to TF Serving over gRPC, with tensorflow-serving-api (pip install -e '.[serving]'):

python -m experiments.serving.grpc_client --export_dir=runs/criteo/ada_ensemble/export/1
"""

import argparse
import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc, regression_pb2


def predict_request(
    model: str, columns: Mapping[str, Sequence[str]], signature: str = "serving_default"
) -> predict_pb2.PredictRequest:
    """A Predict request with raw columns: the log's own text, "" if it is missing."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, text in columns.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto([t.encode() for t in text], tf.string))
    return request


def regress_request(model: str, examples: Sequence[bytes]) -> regression_pb2.RegressionRequest:
    """A Regress request with serialized tf.Examples."""
    request = regression_pb2.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "regress"
    for example in examples:
        request.input.example_list.examples.add().ParseFromString(example)
    return request


def main() -> None:
    """Sends the golden rows of an export in both ways and compares the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="localhost:8500")
    parser.add_argument("--model", default="ctr")
    parser.add_argument("--export_dir", required=True, help="folder of the version that the server serves")
    arguments = parser.parse_args()
    golden = json.loads((Path(arguments.export_dir) / "assets.extra" / "golden_rows.json").read_text(encoding="utf-8"))
    examples = [base64.b64decode(example) for example in golden["examples"]]
    with grpc.insecure_channel(arguments.server) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            predicted = stub.Predict(predict_request(arguments.model, golden["columns"]), timeout=60)
            regressed = stub.Regress(regress_request(arguments.model, examples), timeout=60)
        except grpc.RpcError as error:
            raise SystemExit(f"error: {arguments.server}: {error.details()}") from None
    by_request = {
        "Predict": tf.make_ndarray(predicted.outputs["ctr"]),
        "Regress": np.array([one.value for one in regressed.result.regressions]),
    }
    for name, ctr in by_request.items():
        off = np.abs(ctr - golden["ctr"]).max()
        print(f"{name}: {len(ctr)} rows, the first at {ctr[0]:.6f}; off by at most {off:.1e}")


if __name__ == "__main__":
    main()
