"""Train the model that is no network, and write it as the same kind of file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact import models
from keyact.action.keypoint_fusion import JOINTS
from keyact.errors import InputError
from keyact.train.augment import mirrored
from keyact.train.config import TrainConfig
from keyact.train.conversion import OPSET, convert, finish
from keyact.train.engine import History
from keyact.train.objective import class_weights
from keyact.train.photos import CROP_MARGIN, PhotoSet
from keyact.train.run import RunFolder

COPIES = 3  # shaken ones of every pose, beside itself, all mirrored too
FLOOR = 1e-3  # probability that no tree gives
OPSETS = {"": OPSET, "ai.onnx.ml": 3}


def run_trees(
    train: PhotoSet, val: PhotoSet, config: TrainConfig, run: RunFolder, meta: dict[str, Any]
) -> History:
    """Grow the trees on ``train`` and write ``model.onnx``.

    Raises
    ------
    InputError : an action has no photo to learn from.
    """
    lacks = sorted(set(range(len(train.names))) - set(train.labels.tolist()))
    if lacks:
        raise InputError(f"no photo to learn {train.names[lacks[0]]!r} from")
    began = time.perf_counter()
    size = int(meta["input"][0])
    poses, owners = _poses(train, size)
    rng = np.random.default_rng(config.seed)
    shaken = [poses, *(_shaken(poses, config, rng) for _ in range(COPIES))]
    everything = np.concatenate([*shaken, *(mirrored(one, size) for one in shaken)])
    owner = np.tile(owners, 2 * len(shaken))
    # Everyone in a photo has its label: a crowd must not count more than a single player.
    weight = 1 / np.bincount(owners)[owner]
    weight *= class_weights(config, train.labels, train.names)[train.labels[owner]]
    forest = models.build(
        "keypoints-trees",
        len(train.names),
        **{"seed": config.seed, "threads": config.workers, **config.options},
    )
    forest.fit(pose_vectors(everything), train.labels[owner], sample_weight=weight)
    run.write_environment()
    run.write_bytes(run.model, to_onnx(forest, meta))
    row = {"epoch": 1.0, "seconds": round(time.perf_counter() - began, 3)}
    held_out, owners = _poses(val, size)
    right = forest.predict(pose_vectors(held_out)) == val.labels[owners]
    row["val_person_top1"] = round(float(right.mean()), 4)
    run.write_log([row])
    return History([row], 1, row["val_person_top1"])


def pose_vectors(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Key points (N, 17, 3) in crop pixels to the numbers (N, F) that the trees see."""
    from keras import ops

    from keyact.models.pose_features import PoseFeatures

    vectors = PoseFeatures(dtype="float32")(np.asarray(keypoints, np.float32))
    return np.asarray(ops.convert_to_numpy(vectors), np.float32)


def to_onnx(forest: Any, meta: Mapping[str, Any]) -> bytes:
    """The file of a grown forest: pose features, trees, and the logarithm of what they say."""
    import onnx
    import tensorflow as tf
    from onnx import compose, helper, numpy_helper
    from skl2onnx import to_onnx as from_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    from keyact.models.pose_features import PoseFeatures

    layer = PoseFeatures(dtype="float32")
    size = int(meta["input"][0])
    specs = [
        tf.TensorSpec((1, size, size, 3), tf.uint8, name="context"),
        tf.TensorSpec((None, size, size, 3), tf.uint8, name="crop"),
        tf.TensorSpec((None, JOINTS, 3), tf.float32, name="keypoints"),
    ]
    pose = onnx.load_model_from_string(
        convert(lambda keypoints: (layer(keypoints),), specs[2:], ["pose"], meta)
    )
    grown = from_sklearn(
        forest,
        initial_types=[("vector", FloatTensorType([None, forest.n_features_in_]))],
        options={id(forest): {"zipmap": False}},
        target_opset=OPSETS,
    )
    grown.ir_version = pose.ir_version
    for proto in (pose, grown):  # each library names versions that its own nodes could do with
        del proto.opset_import[:]
        proto.opset_import.extend(helper.make_opsetid(name, v) for name, v in OPSETS.items())
    (said,) = [out.name for out in grown.graph.output if "prob" in out.name]
    whole = compose.merge_models(pose, grown, io_map=[("pose", "vector")], outputs=[said])
    whole.graph.initializer.append(numpy_helper.from_array(np.array(FLOOR, np.float32), "floor"))
    whole.graph.node.append(helper.make_node("Add", [said, "floor"], ["likely"]))
    whole.graph.node.append(helper.make_node("Log", ["likely"], ["logits"]))
    del whole.graph.output[:]
    kind = onnx.TensorProto.FLOAT
    shape = [None, len(meta["labels"])]
    whole.graph.output.append(helper.make_tensor_value_info("logits", kind, shape))
    return finish(whole, specs, meta)


def _poses(photos: PhotoSet, size: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Everyone's key points in their own crop, and which photo they are from."""
    rows = [photos.seen_points(i, size, CROP_MARGIN) for i in range(len(photos))]
    owners = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
    return np.concatenate(rows), owners


def _shaken(
    poses: NDArray[np.float32], config: TrainConfig, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The poses as a worse estimator would give them."""
    settings = config.augment
    shaken = poses.copy()
    shaken[..., :2] += rng.normal(0, settings.joint_noise, shaken[..., :2].shape)
    lost = rng.random(poses.shape[:2]) < settings.joint_drop
    lost[rng.random(len(poses)) < settings.pose_drop] = True
    shaken[..., 2][lost] = 0
    return shaken
