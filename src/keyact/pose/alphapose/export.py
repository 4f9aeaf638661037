"""An AlphaPose checkpoint as one ONNX file that keyact runs without torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyact.errors import UnknownNameError, WeightsError
from keyact.layouts import get_layout, layout_names
from keyact.pose.alphapose.checkpoint import read_checkpoint
from keyact.pose.alphapose.network import FINE_JOINTS, HEADS, STRIDE, Architecture, fastpose
from keyact.replacing import replacing
from keyact.runtime import OnnxModel

LAYOUTS = {17: "coco17", 26: "halpe26", 68: "halpe68", 133: "coco133", 136: "halpe136"}
"""Number of joints -> the layout of the data set that AlphaPose trains that many on."""

BODY_ONLY = (17, 26)
"""For these AlphaPose's published checkpoints have heatmap heads; for more there are all."""

LICENCE = (
    "the weights are the user's own; those that AlphaPose publishes are for non-commercial use only"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")  # what `keyact.weights` takes


class Converted(NamedTuple):
    """What `convert` made."""

    architecture: Architecture
    layout: str
    head: str
    bytes: int


def convert(
    checkpoint: str | Path,
    target: str | Path,
    *,
    head: str | None = None,
    layout: str | None = None,
    input_size: tuple[int, int] = (256, 192),
    name: str | None = None,
) -> Converted:
    """Turn a checkpoint into an ONNX file, and run it once.

    Parameters
    ----------
    checkpoint : ``.pth`` file of a FastPose.
    target : ``.onnx`` file to write; whatever is there is replaced once the new one is whole.
    head : one of `HEADS`, which no tensor tells; None takes ``"heatmap"`` for a network of
        `BODY_ONLY` joints.
    layout : skeleton layout; None takes that of `LAYOUTS`.
    input_size : ``(H, W)`` of the crops, multiples of 32.
    name : what the network is to be called; None makes it from layout, depth and head.

    Raises
    ------
    WeightsError : checkpoint, layout or head do not fit, the network gives no finite heatmaps,
        or torch or onnx is not installed.
    UnknownNameError : no such head or layout.
    """
    target = Path(target)
    if target.suffix.lower() != ".onnx":
        raise WeightsError(f"{target}: the name must end in .onnx")
    if head is not None and head not in HEADS:
        raise UnknownNameError("head", head, HEADS)
    if layout is not None:
        get_layout(layout)
    if name is not None and not _NAME.fullmatch(name):
        raise WeightsError(f"{name[:64]!r} is no name: use letters, digits and . _ + -")
    if any(side % 32 or not 64 <= side <= 1024 for side in input_size):
        raise WeightsError(f"input {input_size}: height and width are multiples of 32, 64 to 1024")
    source = read_checkpoint(Path(checkpoint))
    joints = source.architecture.joints
    layout = _layout(joints, layout, checkpoint)
    if head is None:
        if joints not in BODY_ONLY:
            raise WeightsError(
                f"{checkpoint}: AlphaPose publishes several kinds of head for {joints} joints; "
                "say --head regression if LOSS TYPE in its configuration is L1JointRegression, "
                "--head combined if it is Combined, else --head heatmap"
            )
        head = "heatmap"
    if head == "combined" and joints not in FINE_JOINTS:
        raise WeightsError(f"{checkpoint}: {joints} joints are all of the body; no head combined")
    architecture = source.architecture
    kind = "-duc" * bool(architecture.duc) + "-shuffle" * architecture.unshuffle
    meta = {
        "kind": "pose",
        "family": "alphapose",
        "name": name or f"alphapose-{layout}-res{architecture.layers}{kind}-{head}",
        "layout": layout,
        "input": list(input_size),
        "stride": STRIDE,
        "head": head,
        "sigma": 2.0,
        "box_margin": 1.25,
        "licence": LICENCE,
        "summary": f"AlphaPose {architecture.name}, {joints} joints, {head} head",
        "source_sha256": source.sha256,
    }
    try:
        data = fastpose(architecture, source.tensors, input_size, meta)
    except ImportError as error:
        raise WeightsError(
            f"writing ONNX needs {error.name}: pip install 'keyact[torch]'"
        ) from error
    if not np.isfinite(_noise_maps(data, input_size)).all():
        raise WeightsError(
            f"{checkpoint}: the network overflows, its heatmaps are not finite; nothing was written"
        )
    with replacing(target, WeightsError) as part:
        part.write_bytes(data)
    return Converted(architecture, layout, head, len(data))


def _layout(joints: int, layout: str | None, checkpoint: str | Path) -> str:
    if layout is None:
        if joints not in LAYOUTS:
            fitting = [name for name in layout_names() if len(get_layout(name)) == joints]
            hint = f"; choose by --layout: {', '.join(fitting)}" if fitting else ""
            raise WeightsError(
                f"{checkpoint}: has {joints} joints; of AlphaPose's skeletons keyact knows those "
                f"of {', '.join(map(str, LAYOUTS))}{hint}"
            )
        return LAYOUTS[joints]
    if len(get_layout(layout)) != joints:
        raise WeightsError(
            f"{checkpoint}: has {joints} joints, layout {layout} has {len(get_layout(layout))}"
        )
    return layout


def _noise_maps(data: bytes, input_size: tuple[int, int]) -> NDArray[np.float32]:
    crops = np.random.default_rng(0).integers(0, 256, (1, *input_size, 3), np.uint8)
    return np.asarray(OnnxModel(data).run({"image": crops})["heatmaps"], np.float32)
