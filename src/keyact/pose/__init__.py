"""Pose backends: a photo and person boxes in, key points out.

To add one: an ONNX file of the signature in `keyact.pose.onnx_pose` needs no code. Any other
class that keeps to `keyact.pose.base.PoseEstimator` goes into its own module, whose ``load``
makes it, and by name into `BACKENDS`; it is asked for as ``"NAME:FILE"``.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from keyact import weights
from keyact.backends import Backend, find_backend
from keyact.pose.alphapose import AlphaPose
from keyact.pose.base import PoseEstimator
from keyact.pose.onnx_pose import OnnxPose
from keyact.runtime import OnnxModel

__all__ = ["BACKENDS", "PoseEstimator", "load", "names"]

BACKENDS: dict[str, Backend] = {
    "alphapose": Backend(
        "keyact.pose.alphapose",
        "alphapose:FILE.onnx",
        "AlphaPose's FastPose, converted by keyact alphapose convert",
    ),
    "mediapipe": Backend(
        "keyact.pose.mediapipe",
        "mediapipe:FILE.task",
        "MediaPipe's PoseLandmarker, 33 joints",
        package="mediapipe",
        extra="mediapipe",
    ),
    "movenet": Backend(
        "keyact.pose.movenet",
        "movenet:FILE",
        "MoveNet Lightning or Thunder, .tflite (extra movenet) or .onnx",
        package="ai_edge_litert",
        extra="movenet",
    ),
    "precomputed": Backend(
        "keyact.pose.precomputed",
        "precomputed:FILE.jsonl",
        "Key points of other programs, from the cache that keyact import makes",
    ),
    "rtmpose": Backend(
        "keyact.pose.rtmpose",
        "rtmpose[:FILE.onnx]",
        "RTMPose through rtmlib, which downloads it when no file is given",
        package="rtmlib",
        extra="rtmpose",
    ),
}
"""Name -> what brings its own runtime or signature.

Its ``load(source, *, threads, flip_test, decode)`` is given what follows the colon of
``"NAME:FILE"``, or None.
"""


CHECKPOINTS = (".pth", ".pt")


def names() -> list[str]:
    """Names that `load` knows: bundled networks, the user's own, and `BACKENDS`."""
    return [entry.name for entry in weights.entries("pose")] + sorted(BACKENDS)


def load(
    name_or_path: str | Path = "fastpose-m",
    threads: int | None = None,
    flip_test: bool = False,
    decode: str | None = None,
) -> PoseEstimator:
    """A pose backend by name, from an ``.onnx`` file, or as ``"NAME:FILE"`` (see `BACKENDS`).

    Parameters
    ----------
    threads : CPU threads of the network; None leaves it to ONNX Runtime.
    flip_test : average with the mirrored crop; twice the time.
    decode : ``"argmax"``, ``"quarter"``, ``"integral"`` or ``"dark"``; None takes the
        network's own.

    Raises
    ------
    UnknownNameError : no such backend or decode method.
    WeightsError : the file is not a pose network, or not the one that was shipped.
    KeyactError : the backend's package is not installed, or its file is missing.
    """
    found = find_backend("pose backend", name_or_path, BACKENDS)
    if found is None and Path(name_or_path).suffix.lower() in CHECKPOINTS:
        found = BACKENDS["alphapose"], str(name_or_path)  # who says how to convert it
    if found is not None:
        backend, source = found
        made = backend.load(source, threads=threads, flip_test=flip_test, decode=decode)
        return cast(PoseEstimator, made)
    entry = weights.resolve("pose", name_or_path, also=BACKENDS)
    model = OnnxModel(entry.path, threads=threads, sha256=entry.sha256)
    if model.meta.get("family") == "alphapose":
        return AlphaPose(model, entry.name, flip_test=flip_test, decode=decode)
    return OnnxPose(model, entry.name, flip_test=flip_test, decode=decode)
