"""Tiny ONNX networks with the signatures of other programs' networks.

Like those of `tests.onnx_models` they find coloured dots and red rectangles, so that crops,
colour order, letterbox and the way back to photo pixels are checked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from tests.onnx_models import JOINT_COLOUR, likeness, ramps, save


def make_movenet(path: Path | None = None, size: int = 192, people: int = 1) -> bytes:
    """MoveNet's signature; finds the dots as `make_pose` does, at the middle of their colour."""
    node = helper.make_node
    to_planes, constants = likeness()
    nodes = [
        node("Cast", ["input"], ["pixels"], to=TensorProto.FLOAT),
        *to_planes,
        node("Mul", ["planes", "planes"], ["narrow"]),  # black round the photo is no green
        node("Mul", ["narrow", "sides"], ["weighted"]),
        node("Add", ["weighted", "tiny"], ["positive"]),
        node("ReduceSum", ["positive", "axis23"], ["total"], keepdims=1),
        node("Div", ["positive", "total"], ["share"]),
    ]
    for line, axis in (("y", 2), ("x", 3)):
        nodes += [
            node("Mul", ["share", f"{line}_of"], [f"{line}_share"]),
            node("ReduceSum", [f"{line}_share", "axis23"], [line], keepdims=0),
        ]
        shape = [1, 1, 1, 1]
        shape[axis] = size
        constants[f"{line}_of"] = ((np.arange(size, dtype=np.float32) + 0.5) / size).reshape(shape)
    nodes += [
        node("ReduceMax", ["planes"], ["score"], axes=[2, 3], keepdims=0),
        *(node("Unsqueeze", [name, "axis12"], [f"{name}_c"]) for name in ("y", "x", "score")),
        node("Concat", ["y_c", "x_c", "score_c"], ["rows_c"], axis=2),  # N, 1, 3, 17
        node("Transpose", ["rows_c"], ["row"], perm=[0, 1, 3, 2]),
        node("Concat", ["row"] * people, ["output_0"], axis=1),
    ]
    constants |= {
        "axis12": np.array([1, 2]),
        "axis23": np.array([2, 3]),
        "sides": np.float32(ramps(size) >= 0.5)[None, :, None, :],  # or the mean is off
        "tiny": np.float32(1e-12),
    }
    return save(
        path, nodes,
        [helper.make_tensor_value_info("input", TensorProto.INT32, [1, size, size, 3])],
        [helper.make_tensor_value_info("output_0", TensorProto.FLOAT, [1, people, 17, 3])],
        constants, None,
    )  # fmt: skip


def make_rtmpose(
    path: Path | None = None, height: int = 256, width: int = 192, joints: int = 17, bins: int = 2
) -> bytes:
    """RTMPose's signature; the SimCC vectors are the dots' profiles, ``bins`` to a pixel.

    Joints beyond 17 are copies of the first ones.
    """
    node = helper.make_node
    to_planes, constants = likeness()
    order = np.arange(joints) % len(JOINT_COLOUR)
    nodes = [
        node("Mul", ["input", "std"], ["scaled"]),
        node("Add", ["scaled", "mean"], ["planar"]),
        node("Transpose", ["planar"], ["pixels"], perm=[0, 2, 3, 1]),
        *to_planes,
        node("Mul", ["planes", "sides"], ["seventeen"]),
        node("Gather", ["seventeen", "order"], ["weighted"], axis=1),
    ]
    outputs = []
    for line, axis, size in (("x", 2, width), ("y", 3, height)):
        nodes += [
            node("ReduceSum", ["weighted", f"axis{axis}_of"], [f"{line}_sum"], keepdims=0),
            node("Mul", [f"{line}_sum", "scale"], [f"{line}_line"]),
            node("Unsqueeze", [f"{line}_line", "axis3"], [f"{line}_thin"]),
            node("Concat", [f"{line}_thin"] * bins, [f"{line}_bins"], axis=3),
            node("Reshape", [f"{line}_bins", f"{line}_shape"], [f"simcc_{line}"]),
        ]
        constants[f"axis{axis}_of"] = np.array([axis])
        constants[f"{line}_shape"] = np.array([0, joints, size * bins])
        outputs.append(
            helper.make_tensor_value_info(
                f"simcc_{line}", TensorProto.FLOAT, ["n", joints, size * bins]
            )
        )
    constants |= {
        "mean": np.array([123.675, 116.28, 103.53], np.float32).reshape(1, 3, 1, 1),
        "std": np.array([58.395, 57.12, 57.375], np.float32).reshape(1, 3, 1, 1),
        "scale": np.float32(1 / 16),  # a dot is about 9 pixels across
        "order": order,
        "sides": np.float32(ramps(width) >= 0.5)[None, :, None, :],
    }
    return save(
        path, nodes,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, height, width])],
        outputs, constants, None,
    )  # fmt: skip


def make_yolox(
    path: Path | None = None,
    height: int = 96,
    width: int = 96,
    classes: int = 80,
    decoded: bool = False,
) -> bytes:
    """YOLOX's signature; in the grid cell that holds it finds a red rectangle (BGR input).

    The row of the middle's cell of stride 16 has score .9, the one after it .8 and a box one
    pixel further; the first row has score .05 and the whole rectangle. Raw values, or pixels.
    """
    node = helper.make_node
    corners, strides = [], []
    for stride in (8, 16, 32):
        y, x = np.mgrid[: height // stride, : width // stride]
        corners.append(np.stack([x.ravel(), y.ravel()], 1))
        strides.append(np.full((x.size, 1), stride))
    corner, stride = np.concatenate(corners).astype(np.float32), np.concatenate(strides)
    cells = len(corner)
    first = (height // 8) * (width // 8)  # of stride 16
    nodes = [
        node("Split", ["images"], ["blue", "green", "red"], axis=1),
        node("Greater", ["red", "high"], ["is_red"]),
        node("Less", ["blue", "low"], ["not_blue"]),
        node("And", ["is_red", "not_blue"], ["hit"]),
        node("Cast", ["hit"], ["mask"], to=TensorProto.FLOAT),
        node("ReduceMax", ["mask"], ["columns"], axes=[1, 2], keepdims=0),
        node("ReduceMax", ["mask"], ["rows"], axes=[1, 3], keepdims=0),
        node("ReduceMax", ["columns"], ["any"], axes=[1], keepdims=1),
    ]
    for line, start, end in (("columns", "x1", "x2"), ("rows", "y1", "y2")):
        nodes += [
            node("ArgMax", [line], [f"{start}_i"], axis=1, keepdims=1),
            node("ArgMax", [line], [f"{end}_i"], axis=1, keepdims=1, select_last_index=1),
            node("Cast", [f"{start}_i"], [start], to=TensorProto.FLOAT),
            node("Cast", [f"{end}_i"], [f"{end}_f"], to=TensorProto.FLOAT),
            node("Add", [f"{end}_f", "one"], [end]),
        ]
    nodes += [
        node("Concat", ["x1", "y1"], ["start"], axis=1),
        node("Concat", ["x2", "y2"], ["end"], axis=1),
        node("Add", ["start", "end"], ["double"]),
        node("Mul", ["double", "half"], ["centre"]),  # (1, 2)
        node("Sub", ["end", "start"], ["size"]),
        node("Unsqueeze", ["centre", "axis1"], ["centre_r"]),
        node("Unsqueeze", ["size", "axis1"], ["size_r"]),
        node("Add", ["centre_r", "shift"], ["centres"]),  # (1, A, 2)
        node("Expand", ["size_r", "cells2"], ["sizes"]),
        # Row `first` + the cell of the middle, and the one after it.
        node("Mul", ["centre", "sixteenth"], ["cell_f"]),
        node("Floor", ["cell_f"], ["cell"]),
        node("Mul", ["cell", "pitch"], ["cell_p"]),
        node("ReduceSum", ["cell_p", "axis1"], ["place"], keepdims=1),
        node("Sub", ["index", "place"], ["gap"]),  # (1, A): 0 at the middle's cell
        node("Abs", ["gap"], ["gap_a"]),
        node("Less", ["gap_a", "half"], ["is_middle"]),
        node("Sub", ["gap", "one"], ["gap_next"]),
        node("Abs", ["gap_next"], ["gap_next_a"]),
        node("Less", ["gap_next_a", "half"], ["is_next"]),
        node("Where", ["is_middle", "best", "weak"], ["w1"]),
        node("Where", ["is_next", "second", "w1"], ["w2"]),
        node("Mul", ["w2", "any"], ["score"]),
        node("Unsqueeze", ["score", "axis2"], ["objectness"]),
    ]
    if decoded:
        nodes += [node("Identity", ["centres"], ["xy"]), node("Identity", ["sizes"], ["wh"])]
    else:
        nodes += [
            node("Div", ["centres", "strides"], ["xy_cells"]),
            node("Sub", ["xy_cells", "corners"], ["xy"]),
            node("Div", ["sizes", "strides"], ["wh_cells"]),
            node("Log", ["wh_cells"], ["wh"]),
        ]
    nodes.append(node("Concat", ["xy", "wh", "objectness", "person", "others"], ["output"], axis=2))
    shift = np.zeros((1, cells, 2), np.float32)
    shift[0, first:] = np.arange(cells - first)[:, None] * 0.01
    index = np.arange(cells, dtype=np.float32)[None] - first
    weak = np.zeros((1, cells), np.float32)
    weak[0, 0] = 0.05
    constants = {
        "high": np.float32(180), "low": np.float32(80), "one": np.float32(1),
        "half": np.float32(0.5), "axis1": np.array([1]), "axis2": np.array([2]),
        "shift": shift, "cells2": np.array([1, cells, 2]), "sixteenth": np.float32(1 / 16),
        "pitch": np.array([[1, width // 16]], np.float32), "index": index, "weak": weak,
        "best": np.float32(0.9), "second": np.float32(0.8),
        "strides": stride[None].astype(np.float32), "corners": corner[None],
        "person": np.ones((1, cells, 1), np.float32),
        "others": np.zeros((1, cells, classes - 1), np.float32),
    }  # fmt: skip
    return save(
        path, nodes,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, cells, 5 + classes])],
        constants, None,
    )  # fmt: skip
