"""The levers of the key point stage, and a pose backend with one of them turned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from int8 import KINDS

from keyact import pose
from keyact.layouts import convert
from keyact.pose.decode import METHODS
from keyact.pose.nms import MergedPoses, nms_for
from keyact.pose.onnx_pose import OnnxPose

TRUE_BOXES = "true boxes"
OUTSIDE = ("nms", "detector")
"""Levers that the time of the pose stage knows nothing of."""


@dataclass(frozen=True)
class Setting:
    """How the key point stage is run; what is None is the network's own."""

    pose: str
    detector: str
    flip: bool = False
    decode: str | None = None
    margin: float | None = None
    nms: bool = True
    size: str | None = None
    precision: str = "float"


SHIPPED_SIZE = "224 x 224"
SIZES = ("256 x 256", "256 x 192", "192 x 192", "160 x 160", "128 x 128", "96 x 96")


Levers = dict[str, dict[str, Setting]]


def levers(base: Setting, shared: Path) -> Levers:
    """Lever -> value -> setting."""
    detectors = {
        base.detector: base.detector,
        "yolox-nano": f"yolox:{shared / 'weights' / 'yolox_nano_coco.onnx'}",
        "whole-image": "whole-image",
        TRUE_BOXES: TRUE_BOXES,
    }
    return {
        "flip": {name: replace(base, flip=on) for name, on in (("off", False), ("on", True))},
        "decode": {method: replace(base, decode=method) for method in METHODS},
        "margin": {f"{m:g}": replace(base, margin=m) for m in (1.0, 1.1, 1.2, 1.25, 1.3, 1.4, 1.5)},
        "nms": {name: replace(base, nms=on) for name, on in (("on", True), ("off", False))},
        "size": {SHIPPED_SIZE: base} | {size: replace(base, size=size) for size in SIZES},
        "int8": {kind: replace(base, precision=kind) for kind in ("float", *KINDS)},
        "detector": {name: replace(base, detector=value) for name, value in detectors.items()},
    }


class NotThisBackend(Exception):
    """The lever turns something that only keyact's own ONNX networks have."""


class Estimator:
    """A pose backend under a setting."""

    def __init__(self, setting: Setting, file: Path | None, threads: int) -> None:
        self._inner: Any = pose.load(
            setting.pose if file is None else file,
            threads=threads,
            flip_test=setting.flip,
            decode=setting.decode,
        )
        own = isinstance(self._inner, OnnxPose)
        if not own and setting.margin is not None:
            raise NotThisBackend
        if setting.margin is not None:
            self._inner.margin = setting.margin
        self.name, self.layout = self._inner.name, self._inner.layout
        self._suppress = nms_for(self._inner) if setting.nms else None

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        return convert(self._inner(image, boxes), self.layout, "coco17")

    def people(self, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> MergedPoses:
        """Poses in coco17 after pose NMS, as in keyact.Recognizer, and whose boxes they are."""
        found = self._inner(image, boxes)
        merged = MergedPoses(found, np.arange(len(found)))
        if self._suppress is not None:
            merged = self._suppress(found, scores, boxes)
        return MergedPoses(convert(merged.keypoints, self.layout, "coco17"), merged.kept)
