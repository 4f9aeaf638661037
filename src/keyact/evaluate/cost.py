"""What a model costs: parameters, multiplications, bytes, milliseconds and memory.

Multiplications are counted on the ONNX graph itself with the sizes that its tensors have when it
runs, so that shapes which depend on the input are no obstacle. Time and memory are measured in a
process of their own, pinned to as many CPUs as threads are asked for.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keyact import weights
from keyact.data.base import extra
from keyact.errors import KeyactError
from keyact.weights import read_model_file

RUNS = 60
_SECONDS = 600  # that a measurement may take

_WEIGHT_TYPES = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT8", "UINT8")


class Size(NamedTuple):
    """Attributes: ``parameters`` (numbers that were learnt), ``macs`` (multiply-accumulates for a
    photo with one person; about half the FLOPs), ``bytes`` of the file."""

    parameters: int
    macs: int
    bytes: int


class Latency(NamedTuple):
    """Attributes: ``p50`` and ``p95`` in ms of the action model for a photo with one person,
    ``photo_p50`` in ms of the whole pipeline on a real photo (None without one), and ``memory``,
    the peak of the process in MB (None where the system does not say)."""

    p50: float
    p95: float
    photo_p50: float | None
    memory: float | None


def measure_size(model: str | Path, kind: str = "action") -> Size:
    """Parameters, multiply-accumulates and bytes of an action model, or of another kind of network.

    Convolutions and matrix products are counted, which is all but a few per cent of a network;
    trees have neither, and 0 is right for them.

    Raises
    ------
    UnknownNameError, WeightsError : no such model.
    KeyactError : the package onnx is missing, or the network does not run.
    """
    onnx, runtime = extra("onnx"), extra("onnxruntime")
    path = weights.resolve(kind, model).path
    data = read_model_file(path)
    graph = onnx.load_model_from_string(data).graph
    kinds = {onnx.TensorProto.DataType.Value(name) for name in _WEIGHT_TYPES}
    parameters = sum(
        math.prod(tensor.dims) for tensor in _tensors(graph) if tensor.data_type in kinds
    )
    nodes = [node for node in graph.node if node.op_type in _COUNTED]
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    probed = onnx.load_model_from_string(data)
    known = {one.name for one in (*graph.input, *graph.output)} | shapes.keys()
    wanted = dict.fromkeys(
        name for node in nodes for name in (*node.input, *node.output) if name and name not in known
    )
    probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    try:
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = runtime.InferenceSession(
            probed.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        feeds = {one.name: _input(one) for one in session.get_inputs()}
        values = session.run(None, feeds)
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise KeyactError(f"{path}: cannot be measured: {str(error).splitlines()[0]}") from error
    shapes |= {name: value.shape for name, value in feeds.items()}
    names = [one.name for one in session.get_outputs()]
    shapes |= {name: np.shape(value) for name, value in zip(names, values, strict=True)}
    macs = sum(
        _COUNTED[node.op_type](
            [shapes[name] for name in node.input if name], shapes[node.output[0]], node
        )
        for node in nodes
    )
    return Size(int(parameters), int(macs), len(data))


def _tensors(graph: Any) -> list[Any]:
    """Weights: the initializers, and constants that stand in nodes."""
    found = list(graph.initializer)
    for node in graph.node:
        if node.op_type == "Constant":
            found += [attribute.t for attribute in node.attribute if attribute.name == "value"]
    return found


def _input(node: Any) -> np.ndarray[Any, Any]:
    """One photo, one person."""
    shape = [size if isinstance(size, int) else 1 for size in node.shape]
    if node.type == "tensor(uint8)":
        return np.full(shape, 127, np.uint8)
    return np.full(shape, 0.5, np.float32)


def _conv(inputs: list[tuple[int, ...]], output: tuple[int, ...], node: Any) -> int:
    weight = inputs[3 if node.op_type == "QLinearConv" else 1]
    return math.prod(output) * math.prod(weight[1:])


def _transposed(inputs: list[tuple[int, ...]], output: tuple[int, ...], node: Any) -> int:
    return math.prod(inputs[0]) * math.prod(inputs[1][1:])


def _product(inputs: list[tuple[int, ...]], output: tuple[int, ...], node: Any) -> int:
    return math.prod(output) * inputs[0][-1]


def _gemm(inputs: list[tuple[int, ...]], output: tuple[int, ...], node: Any) -> int:
    turned = any(one.name == "transA" and one.i for one in node.attribute)
    return math.prod(output) * inputs[0][0 if turned else 1]


def _einsum(inputs: list[tuple[int, ...]], output: tuple[int, ...], node: Any) -> int:
    equation = next(one.s.decode() for one in node.attribute if one.name == "equation")
    terms = equation.replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, inputs, strict=True):
        named = term.replace("...", "")
        # An ellipsis stands before the named axes in what exporters write.
        sizes |= dict(zip(named, shape[len(shape) - len(named) :], strict=True))
        for i, size in enumerate(shape[: len(shape) - len(named)]):
            sizes[f"...{i}"] = max(size, sizes.get(f"...{i}", 1))
    return math.prod(sizes.values())


_COUNTED = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "QLinearConv": _conv,
    "ConvTranspose": _transposed,
    "MatMul": _product,
    "MatMulInteger": _product,
    "QLinearMatMul": _product,
    "Gemm": _gemm,
    "Einsum": _einsum,
}


def measure_latency(
    model: str | Path,
    threads: int,
    *,
    photo: Path | None = None,
    stages: tuple[str, str] = ("persondet-m", "fastpose-m"),
    runs: int = RUNS,
) -> Latency:
    """Time and memory of an action model in a fresh process with that many CPU threads.

    Parameters
    ----------
    photo : a real photo for the time of the whole pipeline.
    stages : its detector and pose backend.
    runs : after a warm-up.

    Raises
    ------
    KeyactError : the process failed, or took longer than ten minutes.
    """
    command = [sys.executable, "-m", "keyact.evaluate.latency", str(model)]
    command += ["--threads", str(threads), "--runs", str(runs)]
    if photo is not None:
        detector, pose = stages
        command += ["--photo", str(photo), "--detector", detector, "--pose", pose]
    pinned = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env={**os.environ, **pinned},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise KeyactError(f"{model}: no latency within {_SECONDS // 60} minutes") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise KeyactError(f"{model}: latency could not be measured: {said[-1]}")
    return Latency(**json.loads(done.stdout.splitlines()[-1]))
