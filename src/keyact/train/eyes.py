"""A photo model's features as a network of their own, and as half of a sequence network's file.

Nothing is trained or computed anew: the features of keypoint-fusion are what its layer ``fuse``
gives the last one, so they are cut out of its ONNX file with ONNX's own extractor.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keyact import weights
from keyact.action.eyes import INPUTS, OUTPUT, Eyes
from keyact.errors import InputError, KeyactError
from keyact.runtime import OnnxModel

EVERY = 0.25  # seconds from one glance to the next: of things and places, not of movement

_FUSE = re.compile(r"(?:^|/)fuse(?:_\d+)?/concat")  # the layer's node, as TensorFlow names it


@dataclass(frozen=True)
class EyesFile:
    """What looks at pictures, as an ONNX file: `INPUTS` in, `OUTPUT` out."""

    data: bytes
    about: dict[str, Any]

    def load(self, threads: int | None = None) -> Eyes:
        return Eyes(OnnxModel(self.data, threads), self.about)


def eyes_of(name_or_path: str | Path, every: float = EVERY) -> EyesFile:
    """The features of a keypoint-fusion network, by name or from its file.

    Raises
    ------
    UnknownNameError, WeightsError : no such action model, or not the one that was shipped.
    InputError : it is another network: it has no layer ``fuse``.
    """
    import onnx
    from onnx import TensorProto, helper
    from onnx.utils import Extractor

    entry = weights.resolve("action", name_or_path)
    data = weights.read_model_file(entry.path)
    whole = OnnxModel(data, sha256=entry.sha256)
    proto = onnx.load_model_from_string(data)
    fused = [n for n in proto.graph.node if n.op_type == "Concat" and _FUSE.search(n.name)]
    if len(fused) != 1 or not set(INPUTS) <= {value.name for value in proto.graph.input}:
        raise InputError(
            f"{name_or_path}: only a keypoint-fusion network can look at people in videos"
        )
    name = fused[0].output[0]
    width = _width(proto, name)
    proto.graph.output.append(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["people", width])
    )
    part = Extractor(proto).extract_model(list(INPUTS), [name])
    for node in part.graph.node:
        node.output[:] = [OUTPUT if output == name else output for output in node.output]
    part.graph.output[0].name = OUTPUT
    about = {
        "name": entry.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "width": width,
        "every": every,
        "input": list(whole.meta["input"]),
        "crop_margin": float(whole.meta["crop_margin"]),
    }
    helper.set_model_props(part, {})
    onnx.checker.check_model(part)
    found: bytes = part.SerializeToString()
    return EyesFile(found, about)


def with_eyes(data: bytes, eyes: bytes) -> bytes:
    """The file of a sequence network that has its eyes in it.

    Each half stands in a branch that is taken when its input has rows, so that windows are judged
    without looking, and people are looked at without a window.
    """
    import onnx
    from onnx import helper

    mind, sight = (onnx.load_model_from_string(part) for part in (data, eyes))
    if {o.domain: o.version for o in mind.opset_import}[""] != {
        o.domain: o.version for o in sight.opset_import
    }[""]:
        raise KeyactError(
            "the network and its eyes are of different ONNX versions; train both anew"
        )
    nodes = [*_branch(mind, "x", "mind"), *_branch(sight, "crop", "eyes")]
    graph = helper.make_graph(
        nodes,
        mind.graph.name,
        [*mind.graph.input, *sight.graph.input],
        [*mind.graph.output, *sight.graph.output],
    )
    domains = {o.domain: o for model in (sight, mind) for o in model.opset_import}
    both = helper.make_model(
        graph,
        opset_imports=list(domains.values()),
        ir_version=max(mind.ir_version, sight.ir_version),
        producer_name=mind.producer_name,
    )
    both.metadata_props.extend(mind.metadata_props)
    onnx.checker.check_model(both)
    whole: bytes = both.SerializeToString()
    return whole


def _branch(model: Any, counted: str, prefix: str) -> list[Any]:
    """Nodes that compute a graph's output if the input ``counted`` has rows, else give no rows."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    (output,) = graph.output
    width = output.type.tensor_type.shape.dim[1].dim_value
    kept = {value.name for value in graph.input} | {""}

    def inner(name: str) -> str:
        return name if name in kept else f"{prefix}/{name}"

    for node in graph.node:
        node.name = node.name and f"{prefix}/{node.name}"
        node.input[:] = map(inner, node.input)
        node.output[:] = map(inner, node.output)
    for tensor in graph.initializer:
        tensor.name = inner(tensor.name)

    def rows(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{prefix}/rows", width])

    nothing = numpy_helper.from_array(np.zeros((0, width), np.float32))
    none, size, some = (f"{prefix}/{name}" for name in ("none", "size", "some"))
    then = helper.make_graph(
        graph.node, f"{prefix}/then", [], [rows(inner(output.name))], graph.initializer
    )
    other = helper.make_graph(
        [helper.make_node("Constant", [], [none], value=nothing)], f"{prefix}/else", [],
        [rows(none)],
    )  # fmt: skip
    return [
        helper.make_node("Size", [counted], [size]),
        helper.make_node("Cast", [size], [some], to=TensorProto.BOOL),
        helper.make_node("If", [some], [output.name], then_branch=then, else_branch=other),
    ]


def _width(proto: Any, name: str) -> int:
    """Columns of the tensor that the last dense layer multiplies."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    for node in proto.graph.node:  # half-precision weights are cast when the file is loaded
        if node.op_type == "Cast" and node.input[0] in shapes:
            shapes[node.output[0]] = shapes[node.input[0]]
    for node in proto.graph.node:
        if node.op_type in ("MatMul", "Gemm") and node.input[0] == name:
            return int(shapes[node.input[1]][0])
    raise InputError("the photo model's last layer cannot be found")
