"""A person detector in one ONNX file: PersonDet-M, or a user's own of the same signature.

Input ``image`` uint8 (1, S, S, 3) RGB letterboxed; outputs ``boxes`` (1, M, 4) xyxy in input
pixels and ``scores`` (1, M), before non-maximum suppression. Its metadata gives ``input``
``[S, S]``, ``score_threshold`` and ``nms_iou``.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from keyact.errors import WeightsError
from keyact.runtime import OnnxModel

LETTERBOX_GREY = 114
MAX_CANDIDATES = 1000  # boxes that reach the suppression, best first: bounds its time


def letterbox(
    image: NDArray[np.uint8], size: int | tuple[int, int], *, average: bool = True
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Fit a photo into the top left of a grey picture.

    Parameters
    ----------
    image : (h, w, 3) uint8.
    size : side of the square, or ``(H, W)``.
    average : average where the photo shrinks, and round its new sides; otherwise do as YOLOX does,
        bilinear with the sides cut down to whole pixels.

    Returns
    -------
    canvas : (H, W, 3) uint8, channels as in ``image``.
    zoom : input pixels per photo pixel along x and y (they differ only by rounding; YOLOX takes
        one for both).
    """
    high, wide = (size, size) if isinstance(size, int) else size
    height, width = image.shape[:2]
    scale = min(high / height, wide / width)
    whole = round if average else int
    new_width, new_height = max(1, whole(width * scale)), max(1, whole(height * scale))
    method = cv2.INTER_AREA if average and scale < 1 else cv2.INTER_LINEAR
    canvas = np.full((high, wide, 3), LETTERBOX_GREY, np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(
        image, (new_width, new_height), interpolation=method
    )
    return canvas, (new_width / width, new_height / height) if average else (scale, scale)


def select_boxes(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    image: NDArray[np.uint8],
    *,
    score_threshold: float,
    nms_iou: float,
    shown: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """From a network's candidates to what `keyact.detect.base.Detector` promises.

    Parameters
    ----------
    boxes : (M, 4) xyxy in photo pixels; rows that are not finite are left out.
    scores : (M,).
    image : the photo they are in.
    score_threshold : least score of a box.
    nms_iou : overlap from which the weaker of two boxes is left out.
    shown : (M,) scores to give back; those that choose when None.
    """
    height, width = image.shape[:2]
    usable = np.isfinite(boxes).all(1) & (scores >= score_threshold)
    shown = (scores if shown is None else shown)[usable].clip(0, 1)
    boxes, scores = boxes[usable], scores[usable].clip(0, 1)
    boxes = boxes.clip(0, np.array([width, height] * 2, np.float32))
    whole = np.flatnonzero((boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf) >= 1)
    best = whole[np.argsort(-scores[whole], kind="stable")][:MAX_CANDIDATES]
    boxes, scores, shown = boxes[best], scores[best], shown[best]
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(corner_and_size.tolist(), scores.tolist(), 0.0, nms_iou)
    index = np.sort(np.asarray(kept, np.intp).reshape(-1))
    index = index[np.argsort(-shown[index], kind="stable")]
    return boxes[index], shown[index]


class OnnxDetector:
    """See `keyact.detect.base.Detector`.

    Parameters
    ----------
    model : its metadata must say ``"kind": "detector"``.
    name : what to call it.
    score_threshold : overrides the one in the metadata.

    Raises
    ------
    WeightsError : metadata or signature of another kind of network.
    """

    def __init__(self, model: OnnxModel, name: str, score_threshold: float | None = None) -> None:
        model.require("detector", inputs=("image",), outputs=("boxes", "scores"))
        self.name = name
        self._model = model
        try:
            height, width = (int(side) for side in model.meta["input"])
            meta_threshold = float(model.meta.get("score_threshold", 0.3))
            self._nms_iou = float(model.meta.get("nms_iou", 0.6))
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{model.source}: bad detector metadata ({error!r})") from error
        if height != width or not 32 <= height <= 4096:
            raise WeightsError(f"{model.source}: detector input {height}x{width} is not supported")
        self.size = height
        self.score_threshold = meta_threshold if score_threshold is None else score_threshold

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        canvas, zoom = letterbox(image, self.size)
        feed = np.ascontiguousarray(canvas[None, :, :, ::-1])
        out = self._model.run({"image": feed})
        boxes = np.divide(out["boxes"][0], zoom * 2, dtype=np.float32)
        scores = np.asarray(out["scores"][0], np.float32)
        return select_boxes(
            boxes, scores, image, score_threshold=self.score_threshold, nms_iou=self._nms_iou
        )
