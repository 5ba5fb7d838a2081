"""A SavedModel in TensorFlow's session, loaded and called as TF Serving's model server does."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError


class ServingSession:
    """The signatures of an exported model, loaded by TensorFlow's session loader; safe to call from many threads.

    Args:
        folder: the folder of one version.
        check: whether to compare its files with their checksums first; an unfinished export has no checksums yet.

    Attributes:
        signatures: the SignatureDefs by name.

    Raises:
        UserError: if the folder holds no SavedModel or one of its files is damaged.
    """

    def __init__(self, folder: str | Path, check: bool = True):
        if not (Path(folder) / "saved_model.pb").exists():
            raise UserError(f"{folder}: no SavedModel here; name a version's folder, e.g. WORKDIR/export/1")
        if check:
            checksums = Checksums(folder)
            checksums.check("saved_model.pb", *checksums.names)
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        # The loader is TensorFlow 1's and logs a warning about that each time.
        tensorflow_logger = tf.get_logger()
        level = tensorflow_logger.level
        tensorflow_logger.setLevel("ERROR")
        with graph.as_default():
            meta = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        tensorflow_logger.setLevel(level)
        self.signatures = {
            name: signature
            for name, signature in meta.signature_def.items()
            if signature.method_name.startswith("tensorflow/serving/")
        }

    def __call__(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All outputs of a signature by name.

        Raises:
            UserError: if the signature does not exist, or an input is missing, unknown or of the wrong type.
            tf.errors.InvalidArgumentError: if the graph refuses the request.
        """
        feed, fetches = self.prepared(signature, inputs)
        return self._session.run(fetches, feed)

    def prepared(self, signature: str, inputs: Mapping[str, np.ndarray]) -> tuple[dict, dict]:
        """(feed by tensor, tensors by output) for a request."""
        if signature not in self.signatures:
            raise UserError(f"no signature {signature!r}; there are {', '.join(sorted(self.signatures))}")
        expected = self.signatures[signature].inputs
        for name in expected:
            if name not in inputs:
                raise UserError(f"signature {signature}: input {name} is missing")
        for name, value in inputs.items():
            if name not in expected:
                raise UserError(f"signature {signature}: unknown input {name}; it takes {', '.join(sorted(expected))}")
            wanted = tf.as_dtype(expected[name].dtype)
            received = tf.string if value.dtype.kind in "OSU" else tf.as_dtype(value.dtype)
            if received != wanted:
                raise UserError(f"signature {signature}: input {name} takes {wanted.name}, received {received.name}")
        feed = {expected[name].name: value for name, value in inputs.items()}
        return feed, {name: tensor.name for name, tensor in self.signatures[signature].outputs.items()}

    def close(self) -> None:
        """Frees the session."""
        self._session.close()


def click_probabilities(signature: str, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Click probabilities `[B]` from any signature's outputs."""
    if signature == "classify":
        return outputs["scores"][:, 1]
    return outputs["outputs"] if signature == "regress" else outputs["ctr"]
