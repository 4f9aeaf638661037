"""From a TensorFlow function to an ONNX file that keyact runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import KeyactError

OPSET = 17
HALF_FROM = 512  # elements; smaller tensors stay float32
OTHER_ROWS = {"squares": "V"}  # two inputs of one name are of one length to ONNX Runtime
LARGE = 2**17  # elements of a kernel; rounding FastPose-M's smaller ones costs accuracy


def convert(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[str],
    meta: Mapping[str, Any],
    eight_bits_from: int | None = None,
) -> bytes:
    """The ONNX file of a function that returns a tuple in the order of ``outputs``.

    Weights are stored in half precision and cast back when the file is loaded: half the
    size, and ONNX Runtime computes in float32 all the same. An input that the function does not
    use is an input of the file all the same.

    Parameters
    ----------
    inputs : a ``tf.TensorSpec`` with a name for each argument.
    eight_bits_from : store kernels of convolutions with at least so many elements as int8 with a
        scale per output channel, a quarter of the size. These too are floats again before anything
        is computed.
    """
    import tensorflow as tf
    import tf2onnx

    proto, _ = tf2onnx.convert.from_function(
        tf.function(function),
        input_signature=list(inputs),
        opset=OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    renames = {}
    for value, name in zip(proto.graph.output, outputs, strict=True):
        renames[value.name] = name
        value.name = name
    for value in proto.graph.input:
        name = value.name.split(":")[0]
        renames[value.name] = name
        value.name = name
    for node in proto.graph.node:
        node.input[:] = [renames.get(name, name) for name in node.input]
        node.output[:] = [renames.get(name, name) for name in node.output]
    return finish(proto, inputs, meta, eight_bits_from)


def _erfc(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Exact GELUs compute ``erfc``, which tf2onnx does not know: 1 - erf."""
    shapes, kinds = node.output_shapes, node.output_dtypes
    (source,), (target,) = node.input, node.output
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", [source], shapes=shapes, dtypes=kinds)
    one = graph.make_const(f"{name}_one", np.float32(1))
    graph.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=[target], shapes=shapes, dtypes=kinds
    )


def finish(
    proto: Any,
    inputs: Sequence[Any],
    meta: Mapping[str, Any],
    eight_bits_from: int | None = None,
) -> bytes:
    """The bytes of an ONNX graph: inputs in order and complete, small, with metadata."""
    import onnx
    from onnx import helper

    there = {value.name: value for value in proto.graph.input}
    del proto.graph.input[:]
    for spec in inputs:
        value = there.get(spec.name)
        if value is None:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype.as_numpy_dtype))
            value = helper.make_tensor_value_info(spec.name, kind, list(spec.shape))
        proto.graph.input.append(value)
    for value in [*proto.graph.input, *proto.graph.output]:
        if not value.type.tensor_type.shape.dim[0].dim_value:
            rows = OTHER_ROWS.get(value.name, "N")
            value.type.tensor_type.shape.dim[0].dim_param = rows
    # tf2onnx writes the machine's paths into doc strings; a shipped file carries none.
    proto.doc_string = ""
    proto.graph.doc_string = ""
    proto.graph.name = str(meta["name"])
    proto.producer_name = "keyact"
    for node in proto.graph.node:
        node.doc_string = ""
    _shrink(proto, eight_bits_from)
    helper.set_model_props(proto, {"keyact": json.dumps(dict(meta), sort_keys=True)})
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    return data


def with_meta(data: bytes, meta: Mapping[str, Any]) -> bytes:
    """The same network with other metadata."""
    import onnx
    from onnx import helper

    proto = onnx.load_model_from_string(data)
    helper.set_model_props(proto, {"keyact": json.dumps(dict(meta), sort_keys=True)})
    changed: bytes = proto.SerializeToString()
    return changed


def _shrink(proto: Any, eight_bits_from: int | None) -> None:
    from onnx import TensorProto, helper, numpy_helper

    nodes = []
    for tensor in list(proto.graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < HALF_FROM:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > 6e4:
            continue
        name, stored = tensor.name, f"{tensor.name}_stored"
        proto.graph.initializer.remove(tensor)
        if eight_bits_from and values.ndim == 4 and values.size >= eight_bits_from:
            scale = np.abs(values).max((1, 2, 3), keepdims=True) / 127
            scale = np.maximum(scale, np.finfo(np.float32).tiny)
            scales = numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale")
            whole = numpy_helper.from_array(np.rint(values / scale).astype(np.int8), stored)
            proto.graph.initializer.extend([whole, scales])
            # DequantizeLinear would be run anew for each input: ONNX Runtime does not fold it.
            nodes += [
                helper.make_node("Cast", [stored], [f"{name}_whole"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{name}_whole", scales.name], [name]),
            ]
        else:
            proto.graph.initializer.append(
                numpy_helper.from_array(values.astype(np.float16), stored)
            )
            nodes.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    for node in reversed(nodes):
        proto.graph.node.insert(0, node)


def session(data: bytes, threads: int = 2) -> Any:
    """The file as ONNX Runtime runs it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def check(
    data: bytes,
    function: Callable[..., Any],
    feeds: Mapping[str, NDArray[Any]],
    tolerance: float,
) -> float:
    """The largest difference between the file and the function, relative to the outputs' size.

    Raises
    ------
    KeyactError : more than ``tolerance``.
    """
    import tensorflow as tf

    ours = session(data).run(None, dict(feeds))
    theirs = [np.asarray(out) for out in function(*map(tf.constant, feeds.values()))]
    worst = max(
        float(np.abs(a - b).max() / (np.abs(b).max() + 1e-6))
        for a, b in zip(ours, theirs, strict=True)
    )
    if not worst <= tolerance:
        raise KeyactError(f"the ONNX file differs from the network by {worst:.4f} of its output")
    return worst
