"""Any YOLOX network (Ge et al., 2021) whose first class is the person: ``"yolox:FILE.onnx"``.

Files as YOLOX's own ``tools/export_onnx.py`` writes them: input (1, 3, H, W) BGR 0 to 255, the
photo in the top left and 114 around it; output (1, A, 5 + C) with a row per cell of the grids of
stride 8, 16 and 32: centre, size, objectness and C classes. Centre and size are the head's raw
values, or, from ``--decode_in_inference``, pixels.

The thresholds are AlphaPose's for YOLOX (its ``detector/yolox_cfg.py``: score 0.1, suppression
0.6): a weak box costs a pose, whose own score and the pose NMS sort it out, but a person without
a box is lost. For YOLOv3-SPP at 608 pixels its ``docs/run.md`` publishes 0.05 and 0.6. YOLOX's
own demonstration takes 0.3 and 0.45.

As in AlphaPose, boxes are chosen by objectness times class, and the objectness alone is a box's
score, which goes into the score of the pose.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyact.detect.onnx_detector import LETTERBOX_GREY, letterbox, select_boxes
from keyact.errors import InputError, WeightsError
from keyact.runtime import OnnxModel

STRIDES = (8, 16, 32)
SCORE_THRESHOLD = 0.1
NMS_IOU = 0.6
PERSON = 0
"""The person's place among COCO's classes."""

_MAX_LOG_SIZE = 10.0  # e^10 cells are larger than any photo; more would overflow


class _Cells(NamedTuple):
    corner: NDArray[np.float32]  # (A, 2) x and y of each cell in its grid
    stride: NDArray[np.float32]  # (A, 1)


class Yolox:
    """See `keyact.detect.base.Detector`.

    Parameters
    ----------
    model : see this module.
    score_threshold : least score of a box, objectness times class; None takes
        `SCORE_THRESHOLD`.
    nms_iou : overlap from which the weaker of two boxes is left out.

    Raises
    ------
    WeightsError : the network has another signature.
    """

    name = "yolox"

    def __init__(
        self, model: OnnxModel, score_threshold: float | None = None, nms_iou: float = NMS_IOU
    ) -> None:
        self.score_threshold = SCORE_THRESHOLD if score_threshold is None else score_threshold
        self.nms_iou = nms_iou
        self._model = model
        self.input_size = _input_size(model)
        self._cells = _cells(self.input_size)
        # Raw centres are within a cell or so of their own cell, decoded ones all over the picture.
        rows = self._run(np.full((*self.input_size, 3), LETTERBOX_GREY, np.uint8))
        self._decoded = bool(np.median(np.abs(rows[:, :2])) > min(self.input_size) / 8)

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        canvas, zoom = letterbox(image, self.input_size, average=False)
        rows = self._run(canvas)
        centre, size = rows[:, :2], rows[:, 2:4]
        if not self._decoded:
            centre = (centre + self._cells.corner) * self._cells.stride
            size = np.exp(np.minimum(size, _MAX_LOG_SIZE)) * self._cells.stride
        boxes = np.concatenate([centre - size / 2, centre + size / 2], 1)
        person = rows[:, 5:].argmax(1) == PERSON
        return select_boxes(
            np.divide(boxes, zoom * 2, dtype=np.float32)[person],
            (rows[:, 4] * rows[:, 5 + PERSON])[person],
            image,
            score_threshold=self.score_threshold,
            nms_iou=self.nms_iou,
            shown=rows[person, 4],
        )

    def _run(self, canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(A, 5 + C) of a BGR picture."""
        ((name, _),) = self._model.inputs.items()
        feed = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32)
        out = np.asarray(self._model.run({name: feed})[self._model.outputs[0]], np.float32)
        wanted = (1, len(self._cells.stride))
        if out.ndim != 3 or out.shape[:2] != wanted or out.shape[2] <= 5 + PERSON:
            raise WeightsError(
                f"{self._model.source}: gives {out.shape}, but YOLOX gives {wanted[1]} rows of "
                f"centre, size, objectness and classes for an input of {self.input_size}"
            )
        return np.asarray(out[0], np.float32)


def _input_size(model: OnnxModel) -> tuple[int, int]:
    shapes = list(model.inputs.values())
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 3 or len(model.outputs) != 1:
        raise WeightsError(
            f"{model.source}: has inputs {model.inputs} and outputs {list(model.outputs)}; "
            "YOLOX has one input (1, 3, H, W) and one output"
        )
    height, width = shapes[0][2:]
    if height is None or width is None:
        raise WeightsError(f"{model.source}: the input's height and width must be given in it")
    if not all(32 <= side <= 4096 and side % max(STRIDES) == 0 for side in (height, width)):
        raise WeightsError(f"{model.source}: detector input {height}x{width} is not supported")
    return height, width


def _cells(size: tuple[int, int]) -> _Cells:
    corners, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: size[0] // stride, : size[1] // stride]
        corners.append(np.stack([x.ravel(), y.ravel()], 1))
        strides.append(np.full((x.size, 1), stride))
    return _Cells(
        np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)
    )


def load(
    source: str | None, *, threads: int | None = None, score_threshold: float | None = None
) -> Yolox:
    """The detector of a file.

    Raises
    ------
    InputError : no file was named.
    WeightsError : it cannot be read or is not a YOLOX network.
    """
    if source is None:
        raise InputError("yolox needs a network: type yolox:FILE.onnx")
    return Yolox(OnnxModel(Path(source).expanduser(), threads=threads), score_threshold)
