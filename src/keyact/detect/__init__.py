"""Person detectors: a photo in, boxes out.

To add one: an ONNX file of the signature in `keyact.detect.onnx_detector` needs no code; any
other class that keeps to `keyact.detect.base.Detector` goes into its own module and by name
into `load` and `names`.
"""

from __future__ import annotations

from pathlib import Path

from keyact import weights
from keyact.detect.base import Detector
from keyact.detect.onnx_detector import OnnxDetector
from keyact.detect.whole_image import WholeImage
from keyact.runtime import OnnxModel

__all__ = ["Detector", "load", "names"]


def names() -> list[str]:
    """Names that `load` knows: bundled networks, the user's own, and ``whole-image``."""
    return [entry.name for entry in weights.entries("detector")] + [WholeImage.name]


def load(
    name_or_path: str | Path = "persondet-m",
    threads: int | None = None,
    *,
    score_threshold: float | None = None,
) -> Detector:
    """A detector by name, or from an ``.onnx`` file.

    Parameters
    ----------
    threads : CPU threads of the network; None leaves it to ONNX Runtime.
    score_threshold : least score of a box; None takes the network's own.

    Raises
    ------
    UnknownNameError : no such detector.
    WeightsError : the file is not a detector, or not the one that was shipped.
    """
    if name_or_path == WholeImage.name:
        return WholeImage()
    entry = weights.resolve("detector", name_or_path, also=(WholeImage.name,))
    model = OnnxModel(entry.path, threads=threads, sha256=entry.sha256)
    return OnnxDetector(model, entry.name, score_threshold)
