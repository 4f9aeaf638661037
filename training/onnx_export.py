"""From a TensorFlow function to the ONNX file that keyact ships, and its registry entry."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from string import Template

import numpy as np
import onnx
import onnxruntime as ort
import tensorflow as tf
import tf2onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
WEIGHTS = Path(__file__).parents[1] / "src" / "keyact" / "weights"
HALF_FROM = 512  # elements; smaller tensors stay float32


def convert(
    function: Callable, inputs: Sequence[tf.TensorSpec], outputs: Sequence[str], meta: dict
) -> bytes:
    """The ONNX file of a function that returns a tuple in the order of ``outputs``.

    Weights are stored in half precision and cast back when the file is loaded: half the
    size, and ONNX Runtime computes in float32 all the same.
    """
    proto, _ = tf2onnx.convert.from_function(
        tf.function(function), input_signature=list(inputs), opset=OPSET
    )
    renames = {}
    for value, name in zip(proto.graph.output, outputs, strict=True):
        renames[value.name] = name
        value.name = name
    for spec, value in zip(inputs, proto.graph.input, strict=True):
        renames[value.name] = spec.name
        value.name = spec.name
    for value in [*proto.graph.input, *proto.graph.output]:
        if not value.type.tensor_type.shape.dim[0].dim_value:
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    for node in proto.graph.node:
        node.input[:] = [renames.get(name, name) for name in node.input]
        node.output[:] = [renames.get(name, name) for name in node.output]
    # tf2onnx writes the machine's paths into doc strings; a shipped file carries none.
    proto.doc_string = ""
    proto.graph.doc_string = ""
    proto.graph.name = str(meta["name"])
    proto.producer_name = "keyact"
    for node in proto.graph.node:
        node.doc_string = ""
    _halve(proto)
    helper.set_model_props(proto, {"keyact": json.dumps(meta, sort_keys=True)})
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def _halve(proto: onnx.ModelProto) -> None:
    casts = []
    for tensor in list(proto.graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < HALF_FROM:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > 6e4:
            continue
        half = numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}_half")
        proto.graph.initializer.remove(tensor)
        proto.graph.initializer.append(half)
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        proto.graph.node.insert(0, cast)


def session(data: bytes, threads: int = 2) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def check(data: bytes, function: Callable, feeds: dict[str, np.ndarray], tolerance: float) -> float:
    """The largest difference between the file and the function, relative to the outputs' size."""
    ours = session(data).run(None, feeds)
    theirs = [np.asarray(out) for out in function(*map(tf.constant, feeds.values()))]
    worst = max(
        float(np.abs(a - b).max() / (np.abs(b).max() + 1e-6))
        for a, b in zip(ours, theirs, strict=True)
    )
    if worst > tolerance:
        raise SystemExit(f"the ONNX file differs from the network by {worst:.4f} of its output")
    return worst


def ship(
    data: bytes,
    name: str,
    kind: str,
    summary: str,
    card: Path,
    figures: dict[str, object],
    folder: Path = WEIGHTS,
) -> None:
    """Write file, model card and registry entry into the package.

    ``card`` is the card's text with ``$figures`` where the table of figures goes.
    """
    text = Template(card.read_text("utf-8")).substitute(figures=table(figures))
    stem = name.replace("-", "_")
    _write(folder / f"{stem}.onnx", data)
    _write(folder / f"{stem}.md", text.encode())
    registry = json.loads((folder / "registry.json").read_text("utf-8"))
    rows = [row for row in registry["weights"] if row["name"] != name]
    rows.append(
        {
            "name": name,
            "kind": kind,
            "file": f"{stem}.onnx",
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "licence": "Apache-2.0",
            "card": f"{stem}.md",
            "summary": summary,
            "default": True,
        }
    )
    registry["weights"] = sorted(rows, key=lambda row: (row["kind"], row["name"]))
    _write(folder / "registry.json", (json.dumps(registry, indent=2) + "\n").encode())
    print(f"{name}: {len(data) / 1e6:.2f} MB")


def table(figures: dict[str, object]) -> str:
    """A Markdown table of nested figures, one row a leaf."""
    rows = []

    def walk(value: object, place: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{place}, {key}" if place else str(key))
        else:
            rows.append(f"| {place} | {value} |")

    walk(figures, "")
    return "\n".join(["| figure | value |", "| --- | --- |", *rows])


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)
