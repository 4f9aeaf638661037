"""From a shipped ONNX file back into the Keras network, so that its training can go on.

The file keeps layer names in its nodes and tensors. Batch norms were folded into the
convolutions before them; here they become the identity plus the convolution's bias. Weights
were stored in half precision or eight bits, which is what is lost. A layer of our own says by
``onnx_names`` which operations its weights, in their order, are in the file.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import keras
import numpy as np
import onnx
from keras import layers
from onnx import numpy_helper

_LAYER = re.compile(r"(?:^|/)(\w+?)_\d+/(?!.*_\d+/)")


def load_shipped(net: keras.Model, path: Path) -> None:
    """Give ``net`` (and the models in it) the weights of an ONNX file that its export wrote.

    Raises
    ------
    ValueError : a convolution or dense layer of ``net`` is not in the file, or of another shape.
    """
    graph = onnx.load(str(path)).graph
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:  # what is computed when the file is loaded: floats from less
        if node.op_type == "Cast" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]].astype(np.float32)
        if node.op_type == "Mul" and all(name in arrays for name in node.input):
            arrays[node.output[0]] = np.multiply(*(arrays[name] for name in node.input))
    kernels: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    for node in graph.node:
        given = [arrays[name] for name in node.input if name in arrays]
        if node.op_type in ("Conv", "MatMul") and given:
            for place in (node.name, *node.input[1:]):
                found = _LAYER.search(place)
                if found:
                    bias = given[1] if len(given) > 1 else None
                    kernels.setdefault(found[1].removesuffix("_bn"), (given[0], bias))
    for layer in _leaves(net):
        if isinstance(layer, layers.BatchNormalization):
            _identity(layer, kernels[layer.name.removesuffix("_bn")][1])
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
            _fill(layer, kernels, arrays)
        elif onnx_names := getattr(layer, "onnx_names", None):
            layer.set_weights([_named(arrays, layer.name, part) for part in onnx_names])


def _leaves(net: keras.Model):
    for layer in net.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _fill(layer, kernels, arrays) -> None:
    if layer.name not in kernels:
        raise ValueError(f"{layer.name}: not in the file; is it of another network?")
    kernel, bias = kernels[layer.name]
    if isinstance(layer, layers.DepthwiseConv2D):
        kernel = kernel.transpose(2, 3, 0, 1)
    elif isinstance(layer, layers.Conv2D):
        kernel = kernel.transpose(2, 3, 1, 0)
    values = [kernel.astype(np.float32)]
    if layer.use_bias:
        if bias is None:  # added by a node of its own
            bias = _named(arrays, layer.name, "BiasAdd")
        values.append(np.zeros(kernel.shape[-1]) if bias is None else bias)
    wanted = [weight.shape for weight in layer.get_weights()]
    if [value.size for value in values] != [math.prod(shape) for shape in wanted]:
        raise ValueError(f"{layer.name}: of another size in the file; is it of another network?")
    layer.set_weights([v.reshape(shape) for v, shape in zip(values, wanted, strict=True)])


def _identity(norm: layers.BatchNormalization, bias: np.ndarray | None) -> None:
    size = norm.gamma.shape[0]
    variance = np.full(size, 1 - norm.epsilon)
    norm.set_weights([np.ones(size), np.zeros(size) if bias is None else bias,
                      np.zeros(size), variance])  # fmt: skip


def _named(arrays, layer: str, part: str) -> np.ndarray | None:
    fit = [a for name, a in arrays.items() if re.search(rf"(?:^|/){layer}_\d+/{part}", name)]
    return fit[0].astype(np.float32) if fit else None
