"""The configuration of TF Serving's image, and that the clients' requests are what an exported model takes."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import text_format
from served_rows import Served, serve
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc, regression_pb2
from tensorflow_serving.config import model_server_config_pb2

import experiments.serving
from ada_ensemble_tf.models import LogisticRegression, model_inputs
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from experiments.serving import grpc_client, rest_client

FOLDER = Path(experiments.serving.__file__).parent


@pytest.fixture(scope="module")
def served(prepared_criteo, tmp_path_factory) -> Served:
    """A logistic regression on Criteo's columns."""
    schema = Schema.load(prepared_criteo / "schema.json")
    model = LogisticRegression(**model_inputs(schema))
    model.level_weights.table.assign(np.random.default_rng(1).normal(size=(schema.num_rows, 1)))
    return serve(model, Vocabularies.load(prepared_criteo, schema), prepared_criteo, tmp_path_factory.mktemp("served"))


def test_the_rest_client_gets_the_golden_scores(served, monkeypatch, capsys):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            feed = {name: np.array([t.encode() for t in text], object) for name, text in body["inputs"].items()}
            if self.path != "/v1/models/ctr:predict":
                status, answer = 404, {"error": "no such model"}
            else:
                ctr = served.session(body["signature_name"], feed)["ctr"]
                status, answer = 200, {"outputs": ctr.tolist()}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *arguments):
            pass

    with HTTPServer(("localhost", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://localhost:{server.server_port}"
        found = rest_client.predict(url, "ctr", served.rows.columns)
        np.testing.assert_allclose(found["ctr"], served.rows.ctr, rtol=1e-5)
        with pytest.raises(RuntimeError, match="no such model"):
            rest_client.predict(url, "other", served.rows.columns)
        monkeypatch.setattr("sys.argv", ["rest_client", f"--server={url}", f"--export_dir={served.folder}"])
        rest_client.main()
        server.shutdown()
    assert capsys.readouterr().out.startswith(
        f"{len(served.rows.ctr)} rows, the first at {served.rows.ctr[0]:.6f}; off"
    )


def test_the_grpc_client_gets_the_golden_scores(served, monkeypatch, capsys):
    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            assert request.model_spec.name == "ctr"
            feed = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            answer = predict_pb2.PredictResponse()
            for name, value in served.session(request.model_spec.signature_name, feed).items():
                answer.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return answer

        def Regress(self, request, context):
            examples = [one.SerializeToString() for one in request.input.example_list.examples]
            outputs = served.session(request.model_spec.signature_name, {"inputs": np.array(examples, object)})
            answer = regression_pb2.RegressionResponse()
            for value in outputs["outputs"].tolist():
                answer.result.regressions.add().value = value
            return answer

    server = grpc.server(ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    arguments = ["grpc_client", f"--server=localhost:{port}", f"--export_dir={served.folder}"]
    monkeypatch.setattr("sys.argv", arguments)
    grpc_client.main()
    server.stop(None)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Predict", "Regress"]
    assert all(float(line.split()[-1]) < 1e-6 for line in lines)
    assert all(f"{len(served.rows.ctr)} rows, the first at {served.rows.ctr[0]:.6f}" in line for line in lines)


@pytest.mark.parametrize("client", [rest_client, grpc_client])
def test_a_server_that_is_not_there_is_one_clear_line(served, monkeypatch, client):
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    server = f"http://localhost:{port}" if client is rest_client else f"localhost:{port}"
    monkeypatch.setattr("sys.argv", ["client", f"--server={server}", f"--export_dir={served.folder}"])
    with pytest.raises(SystemExit, match=rf"^error: {server}.*[Rr]efused"):
        client.main()


def test_the_configuration_is_what_the_server_reads():
    models = text_format.Parse((FOLDER / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    (model,) = models.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("ctr", "/models/ctr", "tensorflow")
    compose = yaml.safe_load((FOLDER / "docker-compose.yml").read_text())
    serving = compose["services"]["serving"]
    mounts = {volume.rsplit(":", 2)[1]: volume.rsplit(":", 2)[0] for volume in serving["volumes"]}
    assert mounts["/config"] == "." and mounts["/models/ctr"].startswith("${EXPORT_DIR:?")
    # Each file that the command names is there, under the folder that is mounted.
    named = [flag.split("=")[1] for flag in serving["command"] if "=/config/" in flag]
    assert len(named) == 3 and all((FOLDER / Path(name).name).is_file() for name in named)
    (scrape,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    assert f'path: "{scrape["metrics_path"]}"' in (FOLDER / "monitoring.config").read_text()
    assert scrape["static_configs"] == [{"targets": ["serving:8501"]}] and "8501:8501" in serving["ports"]
