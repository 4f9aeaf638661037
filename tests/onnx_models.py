"""Tiny ONNX networks with the signatures of the shipped ones, made in milliseconds.

They are not stubs: the detector finds a red rectangle and the pose network finds coloured
dots, so that colour order, letterbox, crop, mirror and the way back to photo pixels are all
checked against positions that are known.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from keyact.layouts import get_layout
from keyact.sequences import Features, known_skeleton

DOT_COLOURS = np.array(  # RGB; nose, then one colour for each left/right pair of COCO-17
    [
        [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255],
        [0, 255, 255], [255, 128, 0], [0, 128, 0], [128, 0, 255],
    ],
    np.float32,
)  # fmt: skip
JOINT_COLOUR = np.array([0] + [1 + i // 2 for i in range(16)])
BACKGROUND = (200, 200, 200)


def save(
    path: Path | None,
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    constants: dict[str, np.ndarray],
    meta: dict[str, Any] | None,
) -> bytes:
    graph = helper.make_graph(
        nodes, "tiny", inputs, outputs,
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if meta is not None:
        helper.set_model_props(model, {"keyact": json.dumps(meta)})
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    if path is not None:
        path.write_bytes(data)
    return data


def detector_meta(size: int = 64, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "detector",
        "name": "tiny-detector",
        "input": [size, size],
        "score_threshold": 0.3,
        "nms_iou": 0.6,
        **changes,
    }


def make_detector(path: Path | None = None, size: int = 64, **changes: Any) -> bytes:
    """Finds the one rectangle of pixels with red over 180 and blue under 80.

    Gives it twice (score .9, and .8 one pixel further) and a third, weak box of score .1.
    """
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        node("Split", ["pixels"], ["red", "green", "blue"], axis=3),
        node("Greater", ["red", "high"], ["is_red"]),
        node("Less", ["blue", "low"], ["not_blue"]),
        node("And", ["is_red", "not_blue"], ["hit"]),
        node("Cast", ["hit"], ["mask"], to=TensorProto.FLOAT),
        node("ReduceMax", ["mask"], ["columns"], axes=[1, 3], keepdims=0),
        node("ReduceMax", ["mask"], ["rows"], axes=[2, 3], keepdims=0),
    ]
    for line, first, last in (("columns", "x1", "x2"), ("rows", "y1", "y2")):
        nodes += [
            node("ArgMax", [line], [f"{first}_i"], axis=1, keepdims=1),
            node("ArgMax", [line], [f"{last}_i"], axis=1, keepdims=1, select_last_index=1),
            node("Cast", [f"{first}_i"], [first], to=TensorProto.FLOAT),
            node("Cast", [f"{last}_i"], [f"{last}_f"], to=TensorProto.FLOAT),
            node("Add", [f"{last}_f", "one"], [last]),
        ]
    nodes += [
        node("Concat", ["x1", "y1", "x2", "y2"], ["flat"], axis=1),
        node("Unsqueeze", ["flat", "axis1"], ["box"]),
        node("Add", ["box", "offsets"], ["boxes"]),
        node("ReduceMax", ["columns"], ["any"], axes=[1], keepdims=1),
        node("Mul", ["any", "levels"], ["scores"]),
    ]
    constants = {
        "high": np.float32(180),
        "low": np.float32(80),
        "one": np.float32(1),
        "axis1": np.array([1]),
        "offsets": np.array([[[0] * 4, [1] * 4, [0] * 4]], np.float32),
        "levels": np.array([[0.9, 0.8, 0.1]], np.float32),
    }
    return save(
        path, nodes,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", size, size, 3])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 3, 4]),
         helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
        constants, detector_meta(size, **changes),
    )  # fmt: skip


def pose_meta(height: int = 256, width: int = 192, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "pose",
        "name": "tiny-pose",
        "layout": "coco17",
        "input": [height, width],
        "stride": 4,
        "sigma": 1.0,
        "box_margin": 1.25,
        "decode": "dark",
        **changes,
    }


def ramps(width: int) -> np.ndarray:
    """(17, width): of a pair the left joint counts on the right of the crop, the right one left."""
    across = np.linspace(-15, 15, width, dtype=np.float32)
    ramp = np.asarray(1 / (1 + np.exp(-across)), np.float32)  # flat but for the middle
    return np.stack(
        [np.full_like(ramp, 0.5) if k == 0 else (ramp if k % 2 else ramp[::-1]) for k in range(17)]
    )


def likeness() -> tuple[list[Any], dict[str, np.ndarray]]:
    """From ``pixels`` (N, H, W, 3) RGB to ``planes`` (N, 17, H, W): how like its dot each is."""
    node = helper.make_node
    nodes = [
        node("Unsqueeze", ["pixels", "axis3"], ["wide"]),  # N, H, W, 1, 3
        node("Sub", ["wide", "colours"], ["difference"]),  # N, H, W, K, 3
        node("Mul", ["difference", "difference"], ["squared"]),
        node("ReduceSum", ["squared", "axis4"], ["distance"], keepdims=0),
        node("Mul", ["distance", "falloff"], ["exponent"]),
        node("Exp", ["exponent"], ["likeness"]),
        node("Transpose", ["likeness"], ["planes"], perm=[0, 3, 1, 2]),
    ]
    return nodes, {
        "axis3": np.array([3]),
        "axis4": np.array([4]),
        "colours": DOT_COLOURS[JOINT_COLOUR][None, None, None],
        "falloff": np.float32(-1 / (2 * 30.0**2)),
    }


def make_pose(
    path: Path | None = None,
    height: int = 256,
    width: int = 192,
    scores: bool = True,
    **changes: Any,
) -> bytes:
    """Finds dots of `DOT_COLOURS`; of two dots of a pair the right one is the left joint.

    So, as for a person seen from the front, its answer on the mirrored photo is the mirrored
    answer with left and right swapped. Maps sum to 1; scores tell how pure the colour is.
    """
    node = helper.make_node
    joints = len(JOINT_COLOUR)
    to_planes, constants = likeness()
    nodes = [
        node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        *to_planes,
        node("AveragePool", ["planes"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Mul", ["cells", "sides"], ["weighted"]),
        node("Add", ["weighted", "tiny"], ["positive"]),
        node("ReduceSum", ["positive", "axis23"], ["total"], keepdims=1),
        node("Div", ["positive", "total"], ["heatmaps"]),
    ]
    outputs = [
        helper.make_tensor_value_info(
            "heatmaps", TensorProto.FLOAT, ["n", joints, height // 4, width // 4]
        )
    ]
    if scores:
        nodes.append(node("ReduceMax", ["cells"], ["scores"], axes=[2, 3], keepdims=0))
        outputs.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", joints]))
    constants |= {
        "axis23": np.array([2, 3]),
        "sides": ramps(width // 4)[None, :, None, :],
        "tiny": np.float32(1e-9),
    }
    return save(
        path, nodes,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", height, width, 3])],
        outputs, constants, pose_meta(height, width, **changes),
    )  # fmt: skip


def action_meta(labels: tuple[str, ...], **changes: Any) -> dict[str, Any]:
    return {
        "kind": "action",
        "name": "tiny-action",
        "labels": list(labels),
        "layout": "coco17",
        "input": [224, 224],
        **changes,
    }


def make_action(
    path: Path | None = None,
    labels: tuple[str, ...] = ("red", "green", "blue"),
    squares: int | None = None,
    **changes: Any,
) -> bytes:
    """Logits that grow with the crop's red, green and blue, and a little with the context.

    Label c looks at colour c modulo 3; the mean key point score is added to the first label,
    so that all three inputs count. With ``squares``, their side, they count ten times as much.
    """
    node = helper.make_node
    mix = np.eye(3, dtype=np.float32)[np.arange(len(labels)) % 3].T
    first = np.zeros((1, len(labels)), np.float32)
    first[0, 0] = 1
    nodes = []
    for name in ("context", "crop"):
        nodes += [
            node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT),
            node("ReduceMean", [f"{name}_f"], [f"{name}_mean"], axes=[1, 2], keepdims=0),
            node("MatMul", [f"{name}_mean", f"{name}_mix"], [f"{name}_part"]),
        ]
    nodes += [
        node("ReduceMean", ["keypoints"], ["joint_mean"], axes=[1], keepdims=0),
        node("MatMul", ["joint_mean", "score_to_first"], ["joint_part"]),
        node("Add", ["context_part", "crop_part"], ["seen"]),
        node("Add", ["seen", "joint_part"], ["all" if squares else "logits"]),
    ]
    picture = [224, 224, 3]
    more = []
    if squares:
        nodes += [
            node("Cast", ["squares"], ["squares_f"], to=TensorProto.FLOAT),
            node("ReduceMean", ["squares_f"], ["squares_mean"], axes=[0, 1, 2], keepdims=0),
            node("MatMul", ["squares_mean", "squares_mix"], ["squares_part"]),
            node("Add", ["all", "squares_part"], ["logits"]),
        ]
        shape = ["v", squares, squares, 3]
        more = [helper.make_tensor_value_info("squares", TensorProto.UINT8, shape)]
    return save(
        path, nodes,
        [helper.make_tensor_value_info("context", TensorProto.UINT8, [1, *picture]),
         helper.make_tensor_value_info("crop", TensorProto.UINT8, ["n", *picture]),
         helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, ["n", 17, 3]), *more],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(labels)])],
        {
            "context_mix": mix * np.float32(1 / 255),
            "crop_mix": mix * np.float32(4 / 255),
            **({"squares_mix": mix * np.float32(10 / 255)} if squares else {}),
            "score_to_first": np.concatenate([np.zeros((2, len(labels)), np.float32), first]),
        },
        action_meta(labels, **changes),
    )  # fmt: skip


def make_sequence(
    path: Path | None = None,
    labels: tuple[str, ...] = ("arms up", "arms down"),
    frames: int = 8,
    fps: float = 8.0,
    layout: str = "coco17",
    **changes: Any,
) -> bytes:
    """The first label when the wrists are above the shoulders, the second when below.

    Logits are 10 times the wrists' mean height over the shoulders, in body sizes, and its
    negative; more labels get 0.
    """
    features = Features(known_skeleton(layout), frames=frames, fps=fps, streams=("joint",))
    joints = get_layout(layout)
    weights = np.zeros((len(joints), 2, len(labels)), np.float32)
    for side in ("left", "right"):
        for joint, sign in (("shoulder", 5), ("wrist", -5)):  # y grows downwards
            row = joints.index(f"{side}_{joint}")
            weights[row, 1, 0], weights[row, 1, 1] = sign, -sign
    shape = features.shape
    return save(
        path,
        [
            helper.make_node("ReduceMean", ["x"], ["pose"], axes=[1], keepdims=0),
            helper.make_node("Reshape", ["pose", "flat"], ["row"]),
            helper.make_node("MatMul", ["row", "weights"], ["logits"]),
        ],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(labels)])],
        {"flat": np.array([-1, shape[1] * 2]), "weights": weights.reshape(-1, len(labels))},
        {
            "kind": "sequence",
            "name": "tiny-sequence",
            "labels": list(labels),
            "features": features.to_dict(),
            "stride": 2,
            "unknown_threshold": 0.6,
            **changes,
        },
    )


def make_external(path: Path) -> None:
    """A valid network whose weights lie in a second file."""
    model = onnx.load_model_from_string(make_action())
    onnx.save_model(
        model, path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )


def make_fusion(path: Path | None = None, size: int = 64, **changes: Any) -> bytes:
    """A network with keypoint-fusion's inputs, layer ``fuse`` and last layer.

    Fused are the mean colours of photo and person over 255, and the mean joint score; the logits
    say whether the person is red, green or blue.
    """
    node = helper.make_node
    nodes = []
    for name in ("context", "crop"):
        nodes += [
            node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT),
            node("ReduceMean", [f"{name}_f"], [f"{name}_mean"], axes=[1, 2], keepdims=0),
            node("Div", [f"{name}_mean", "full"], [f"{name}_part"]),
        ]
    nodes += [
        node("ReduceMean", ["keypoints"], ["joints"], axes=[1], keepdims=0),
        node("Slice", ["joints", "two", "three", "one"], ["score"]),
        node("Mul", ["crop_part", "zero"], ["nothing"]),
        node("Add", ["nothing", "context_part"], ["context_each"]),
        node("Concat", ["context_each", "crop_part", "score"], ["fuse_1/concat:0"], axis=1,
             name="head_1/fuse_1/concat"),
        node("MatMul", ["fuse_1/concat:0", "weights"], ["logits"]),
    ]  # fmt: skip
    weights = np.zeros((7, 3), np.float32)
    weights[3:6] = np.eye(3) * 10
    picture = [size, size, 3]
    return save(
        path, nodes,
        [helper.make_tensor_value_info("context", TensorProto.UINT8, [1, *picture]),
         helper.make_tensor_value_info("crop", TensorProto.UINT8, ["n", *picture]),
         helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, ["n", 17, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        {"full": np.float32(255), "zero": np.float32(0), "one": np.array([1]),
         "two": np.array([2]), "three": np.array([3]), "weights": weights},
        action_meta(("red", "green", "blue"), name="tiny-fusion", input=[size, size],
                    crop_margin=1.3, **changes),
    )  # fmt: skip


def make_glancing(path: Path | None = None, width: int = 7, **changes: Any) -> bytes:
    """A sequence network of the joints and glances of `make_fusion`, without its eyes.

    The first label where the person's crop is more red than blue on the whole, else the second.
    """
    features = Features(known_skeleton("coco17"), frames=8, fps=8.0, streams=("joint", "score"),
                        glances=width)  # fmt: skip
    weights = np.zeros((features.shape[2], 2), np.float32)
    weights[-4, 0] = weights[-2, 1] = 20  # of a glance: context, crop, score
    return save(
        path,
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        ],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *features.shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        {"weights": weights},
        {
            "kind": "sequence",
            "name": "tiny-glancing",
            "labels": ["red", "blue"],
            "features": features.to_dict(),
            "stride": 2,
            "unknown_threshold": 0.6,
            **changes,
        },
    )
