"""Pose backends: a photo and person boxes in, key points out.

To add one: an ONNX file of the signature in `keyact.pose.onnx_pose` needs no code; any other
class that keeps to `keyact.pose.base.PoseEstimator` goes into its own module and by name into
`load` and `names`.
"""

from __future__ import annotations

from pathlib import Path

from keyact import weights
from keyact.pose.base import PoseEstimator
from keyact.pose.onnx_pose import OnnxPose
from keyact.runtime import OnnxModel

__all__ = ["PoseEstimator", "load", "names"]


def names() -> list[str]:
    """Names that `load` knows: bundled networks and the user's own."""
    return [entry.name for entry in weights.entries("pose")]


def load(
    name_or_path: str | Path = "fastpose-m",
    threads: int | None = None,
    flip_test: bool = False,
    decode: str | None = None,
) -> PoseEstimator:
    """A pose backend by name, or from an ``.onnx`` file.

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
    """
    entry = weights.resolve("pose", name_or_path)
    model = OnnxModel(entry.path, threads=threads, sha256=entry.sha256)
    return OnnxPose(model, entry.name, flip_test=flip_test, decode=decode)
