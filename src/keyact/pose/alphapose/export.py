"""An AlphaPose checkpoint as one ONNX file that keyact runs without torch."""

from __future__ import annotations

import io
import json
import os
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keyact.errors import UnknownNameError, WeightsError
from keyact.layouts import get_layout, layout_names
from keyact.pose.alphapose.checkpoint import Checkpoint, read_checkpoint
from keyact.pose.alphapose.network import STRIDE, Architecture
from keyact.runtime import OnnxModel

HEADS = ("heatmap", "regression")
LAYOUTS = {17: "coco17", 26: "halpe26", 133: "coco133", 136: "halpe136"}
"""Number of joints -> the layout of the data set that AlphaPose trains that many on."""

BODY_ONLY = (17, 26)
"""For these AlphaPose's published checkpoints have heatmap heads; for more there are both."""

TOLERANCE = 1e-4
LICENCE = (
    "the weights are the user's own; those that AlphaPose publishes are for non-commercial use only"
)
_OPSET = 17
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")  # what `keyact.weights` takes


class Converted(NamedTuple):
    """What `convert` made; ``difference`` is relative to the largest value of the maps."""

    architecture: Architecture
    layout: str
    head: str
    bytes: int
    difference: float


def convert(
    checkpoint: str | Path,
    target: str | Path,
    *,
    head: str | None = None,
    layout: str | None = None,
    input_size: tuple[int, int] = (256, 192),
    name: str | None = None,
) -> Converted:
    """Turn a checkpoint into an ONNX file and check the one against the other.

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
    WeightsError : checkpoint, layout or head do not fit, the ONNX file would not give what the
        checkpoint gives, or torch is not installed.
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
                f"{checkpoint}: AlphaPose publishes both kinds of head for {joints} joints; say "
                "--head regression if its configuration has L1JointRegression, else --head heatmap"
            )
        head = "heatmap"
    layers = source.architecture.layers
    meta = {
        "kind": "pose",
        "family": "alphapose",
        "name": name or f"alphapose-{layout}-res{layers}-{head}",
        "layout": layout,
        "input": list(input_size),
        "stride": STRIDE,
        "head": head,
        "sigma": 2.0,
        "box_margin": 1.25,
        "licence": LICENCE,
        "summary": f"AlphaPose FastPose, ResNet-{layers}, {joints} joints, {head} head",
        "source_sha256": source.sha256,
    }
    data = _onnx(source, input_size, meta)
    difference = _difference(source, data, input_size)
    if not difference <= TOLERANCE:  # also when it is not a number
        raise WeightsError(
            f"{checkpoint}: the ONNX network differs from the checkpoint by {difference:.1e} of "
            f"the largest value, more than {TOLERANCE:g}; nothing was written"
        )
    _write(target, data)
    return Converted(source.architecture, layout, head, len(data), difference)


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


def _onnx(source: Checkpoint, input_size: tuple[int, int], meta: dict[str, Any]) -> bytes:
    try:
        import onnx
        import torch
    except ImportError as error:
        raise WeightsError(
            f"writing ONNX needs {error.name}: pip install 'keyact[torch]'"
        ) from error

    buffer: Any = io.BytesIO()  # more than the exporter admits to take
    example = torch.zeros(1, *input_size, 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            # The tracing exporter needs no package beyond torch.
            torch.onnx.export(
                source.network,
                (example,),
                buffer,
                input_names=["image"],
                output_names=["heatmaps"],
                dynamic_axes={"image": {0: "n"}, "heatmaps": {0: "n"}},
                opset_version=_OPSET,
                dynamo=False,
            )
    except Exception as error:  # a torch without that exporter, or out of memory
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"torch {torch.__version__} cannot write ONNX: {reason}") from error
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, {"keyact": json.dumps(meta)})
    return bytes(model.SerializeToString())


def _difference(source: Checkpoint, data: bytes, input_size: tuple[int, int]) -> float:
    """Largest difference between the two over two noisy crops, relative to the largest value."""
    import torch

    crops = np.random.default_rng(0).integers(0, 256, (2, *input_size, 3), np.uint8)
    with torch.no_grad():
        expected = source.network(torch.from_numpy(crops)).numpy()
    found = OnnxModel(data).run({"image": crops})["heatmaps"]
    with np.errstate(invalid="ignore"):  # infinite maps: the caller refuses what is no number
        return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def _write(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, target)
    except OSError as error:
        raise WeightsError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
