"""DHEN's interaction modules and layer in NumPy, from arXiv 2203.11014: one row, pair or window at a time.

Each takes weights by path, the path prefix of the module's weights, and a list of embeddings `[B, m, D]`.
"""

import numpy as np

Weights = dict[str, np.ndarray]


def projected(kernel: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Output j is the sum over i of kernel[i, j] times embedding i."""
    return np.stack([sum(kernel[i, j] * x[:, i] for i in range(x.shape[1])) for j in range(kernel.shape[1])], axis=1)


def layer_normalized(weights: Weights, path: str, x: np.ndarray) -> np.ndarray:
    """Each embedding by its own mean and variance."""
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * weights[f"{path}/gamma"] + weights[f"{path}/beta"]


def dense(weights: Weights, path: str, x: np.ndarray) -> np.ndarray:
    return x @ weights[f"{path}/kernel"] + weights[f"{path}/bias"]


def linear(weights: Weights, path: str, x: np.ndarray) -> np.ndarray:
    return projected(weights[f"{path}/project/kernel"], x)


def deep_cross(weights: Weights, path: str, x: np.ndarray) -> np.ndarray:
    """Columns of X are embeddings, as in the paper."""
    rows = []
    for row in x:
        columns = row.T
        rows.append((columns @ columns.T @ weights[f"{path}/kernel"]).T + weights[f"{path}/bias"])
    return np.stack(rows)


def convolution(weights: Weights, path: str, x: np.ndarray) -> np.ndarray:
    """Rectified filters; window elements outside of the map are 0."""
    kernel, bias = weights[f"{path}/convolve/kernel"], weights[f"{path}/convolve/bias"]
    size = int(len(kernel) ** 0.5)
    before = (size - 1) // 2
    _, m, d = x.shape
    maps = np.zeros((len(x), len(bias) * m, d))
    for f in range(len(bias)):
        for i, j in np.ndindex(m, d):
            total = np.full(len(x), bias[f], np.float64)
            for p, q in np.ndindex(size, size):
                row, column = i + p - before, j + q - before
                if 0 <= row < m and 0 <= column < d:
                    total += kernel[p * size + q, f] * x[:, row, column]
            maps[:, f * m + i, j] = np.maximum(total, 0.0)
    return projected(weights[f"{path}/project/kernel"], maps)


def attention(weights: Weights, path: str, x: np.ndarray, heads: int = 2) -> np.ndarray:
    """A transformer encoder layer, a row and a head at a time, then the projection of the list."""
    d = x.shape[2]
    size = d // heads
    rows = []
    for row in x:
        query, key, value = np.split(dense(weights, f"{path}/query_key_value", row), 3, axis=1)
        heads_out = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = np.exp(query[:, part] @ key[:, part].T / np.sqrt(size))
            heads_out.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, part])
        mixed = dense(weights, f"{path}/mix", np.concatenate(heads_out, axis=1))
        attended = layer_normalized(weights, f"{path}/normalize_attended", row + mixed)
        inner = np.maximum(dense(weights, f"{path}/expand", attended), 0.0)
        contracted = dense(weights, f"{path}/contract", inner)
        rows.append(layer_normalized(weights, f"{path}/normalize_encoded", attended + contracted))
    return projected(weights[f"{path}/project/kernel"], np.stack(rows))


def dlrm(weights: Weights, path: str, x: np.ndarray) -> np.ndarray:
    """The list and the pairs of a possibly compressed list, through a rectified MLP."""
    b, _, d = x.shape
    z = projected(weights[f"{path}/compress/kernel"], x) if f"{path}/compress/kernel" in weights else x
    count = z.shape[1]
    pairs = [(z[:, i] * z[:, j]).sum(axis=1) for i in range(count) for j in range(i + 1, count)]
    hidden = np.concatenate([x.reshape(b, -1), np.stack(pairs, axis=1)], axis=1)
    layer = 1
    while f"{path}/mlp/dense_{layer}/kernel" in weights:
        hidden = np.maximum(dense(weights, f"{path}/mlp/dense_{layer}", hidden), 0.0)
        layer += 1
    return dense(weights, f"{path}/project", hidden).reshape(b, -1, d)


MODULES = {
    "attention": attention,
    "convolution": convolution,
    "deep_cross": deep_cross,
    "dlrm": dlrm,
    "linear": linear,
}


def dhen_layer(
    weights: Weights, path: str, x: np.ndarray, modules, ensemble: str, normalization: str, values=None, numeric=()
) -> np.ndarray:
    """Norm(Ensemble + ShortCut) in inference; the modules in `numeric` read an embedding of the values as well."""
    outputs = []
    for name in modules:
        read = x
        if name in numeric:
            read = np.concatenate([x, dense(weights, f"{path}/numeric_{name}", values)[:, None]], axis=1)
        outputs.append(MODULES[name](weights, f"{path}/{name}", read))
    if ensemble == "concat":
        y = np.concatenate(outputs, axis=1)
    elif ensemble == "sum":
        y = sum(outputs)
    else:
        y = sum(w * output for w, output in zip(weights[f"{path}/module_weights"], outputs, strict=True))
    if y.shape[1] == x.shape[1]:
        assert f"{path}/shortcut/kernel" not in weights
        y = y + x
    else:
        y = y + projected(weights[f"{path}/shortcut/kernel"], x)
    if normalization == "layer":
        return layer_normalized(weights, f"{path}/normalize", y)
    if normalization == "batch":
        shape = (y.shape[1], y.shape[2])
        mean, variance, gamma, beta = (
            weights[f"{path}/normalize/{name}"].reshape(shape)
            for name in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return (y - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    return y
