"""A SavedModel in TensorFlow's session, loaded and asked as TF Serving's model server does it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError


class ServingSession:
    """The signatures of an exported model, by TensorFlow's session loader; may be asked from many threads.

    Args:
        folder: of one version.
        check: whether its files are compared with their checksums first; an export that is being made has none yet.

    Attributes:
        signatures: the SignatureDefs by name.

    Raises:
        UserError: if the folder holds no SavedModel, or a file of it is damaged.
    """

    def __init__(self, folder: str | Path, check: bool = True):
        if not (Path(folder) / "saved_model.pb").exists():
            raise UserError(f"{folder}: no SavedModel here; name a version's folder, e.g. WORKDIR/export/1")
        if check:
            checksums = Checksums(folder)
            checksums.check("saved_model.pb", *checksums.names)
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        # The loader is TensorFlow 1's, of which it says so each time.
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
            UserError: for a signature that is not there, and for inputs that are missing, unknown or of another type.
            tf.errors.InvalidArgumentError: for what the graph refuses.
        """
        feed, fetches = self.prepared(signature, inputs)
        return self._session.run(fetches, feed)

    def prepared(self, signature: str, inputs: Mapping[str, np.ndarray]) -> tuple[dict, dict]:
        """(feed by tensor, tensors by output) of a request."""
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
    """`[B]`, of any signature's outputs."""
    if signature == "classify":
        return outputs["scores"][:, 1]
    return outputs["outputs"] if signature == "regress" else outputs["ctr"]
