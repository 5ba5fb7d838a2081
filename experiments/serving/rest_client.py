"""Sends requests to TF Serving over REST, using only Python's standard library:

python -m experiments.serving.rest_client --export_dir=runs/criteo/ada_ensemble/export/1
"""

import argparse
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path


def predict(
    server: str, model: str, columns: Mapping[str, Sequence[str]], signature: str = "serving_default"
) -> dict[str, list]:
    """Calls a signature that takes raw columns; returns its outputs by name.

    Args:
        server: e.g. "http://localhost:8501".
        model: the name in models.config.
        columns: the log's own text, "" if it is missing; all columns have the same length.
        signature: "serving_default" or "explain".

    Raises:
        RuntimeError: with the server's message, or the reason why it could not be reached.
    """
    body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
    outputs = _post(f"{server}/v1/models/{model}:predict", body)["outputs"]
    # The server omits the name of a single output.
    return outputs if isinstance(outputs, dict) else {"ctr": outputs}


def _post(url: str, body: bytes) -> dict:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{url}: {error.read().decode(errors='replace')}") from None
    except urllib.error.URLError as error:
        raise RuntimeError(f"{url}: {error.reason}; is the server running?") from None


def main() -> None:
    """Sends the golden rows of an export and compares the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="http://localhost:8501")
    parser.add_argument("--model", default="ctr")
    parser.add_argument("--export_dir", required=True, help="folder of the version that the server serves")
    arguments = parser.parse_args()
    golden = json.loads((Path(arguments.export_dir) / "assets.extra" / "golden_rows.json").read_text(encoding="utf-8"))
    try:
        ctr = predict(arguments.server, arguments.model, golden["columns"])["ctr"]
    except RuntimeError as error:
        raise SystemExit(f"error: {error}") from None
    off = max(abs(found - expected) for found, expected in zip(ctr, golden["ctr"], strict=True))
    print(f"{len(ctr)} rows, the first at {ctr[0]:.6f}; off by at most {off:.1e}")


if __name__ == "__main__":
    main()
