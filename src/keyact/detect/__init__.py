"""Person detectors: a photo in, boxes out.

To add one: an ONNX file of the signature in `keyact.detect.onnx_detector` needs no code. Any
other class that keeps to `keyact.detect.base.Detector` goes into its own module, whose ``load``
makes it, and by name into `BACKENDS`; it is asked for as ``"NAME"`` or ``"NAME:FILE"``.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from keyact import weights
from keyact.backends import Backend, find_backend
from keyact.detect.base import Detector
from keyact.detect.onnx_detector import OnnxDetector
from keyact.runtime import OnnxModel

__all__ = ["BACKENDS", "Detector", "load", "names"]

BACKENDS: dict[str, Backend] = {
    "boxes": Backend(
        "keyact.detect.boxes",
        "boxes:FILE.json",
        "Boxes that you give, or AlphaPose's and COCO's detection lists",
    ),
    "precomputed": Backend(
        "keyact.detect.precomputed",
        "precomputed:FILE.jsonl",
        "People of other programs, from the cache that keyact import makes",
    ),
    "whole-image": Backend(
        "keyact.detect.whole_image",
        "whole-image",
        "One box round the whole photo, for pictures cropped to a person",
    ),
    "yolox": Backend(
        "keyact.detect.yolox",
        "yolox:FILE.onnx",
        "Any YOLOX network whose first class is the person, such as those of COCO",
    ),
}
"""Name -> the detectors that are not of keyact's signature.

Its ``load(source, *, threads, score_threshold)`` is given what follows the colon of
``"NAME:FILE"``, or None.
"""


def names() -> list[str]:
    """Names that `load` knows: bundled networks, the user's own, and `BACKENDS`."""
    return [entry.name for entry in weights.entries("detector")] + sorted(BACKENDS)


def load(
    name_or_path: str | Path = "persondet-m",
    threads: int | None = None,
    *,
    score_threshold: float | None = None,
) -> Detector:
    """A detector by name, from an ``.onnx`` file, or as ``"NAME:FILE"`` (see `BACKENDS`).

    Parameters
    ----------
    threads : CPU threads of the network; None leaves it to ONNX Runtime.
    score_threshold : least score of a box; None takes the network's own.

    Raises
    ------
    UnknownNameError : no such detector.
    WeightsError : the file is not a detector, or not the one that was shipped.
    """
    found = find_backend("detector", name_or_path, BACKENDS)
    if found is not None:
        backend, source = found
        made = backend.load(source, threads=threads, score_threshold=score_threshold)
        return cast(Detector, made)
    entry = weights.resolve("detector", name_or_path, also=BACKENDS)
    model = OnnxModel(entry.path, threads=threads, sha256=entry.sha256)
    return OnnxDetector(model, entry.name, score_threshold)
