"""keypoint-fusion: MobileNetV2 features of photo and person, focused on the key points.

One ONNX file. Inputs ``context`` uint8 (1, S, S, 3) RGB, the whole photo; ``crop`` uint8
(N, S, S, 3) RGB, a square round each person; ``keypoints`` float32 (N, 17, 3) in crop pixels.
Some have a fourth, ``squares`` uint8 (V, Q, Q, 3) RGB, which cover the photo (`photo_squares`).
Output ``logits`` (N, C). The metadata gives ``labels``, ``input`` ``[S, S]``, ``crop_margin``,
``temperature`` (people), ``photo_temperature`` and ``unknown_threshold``.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.errors import WeightsError
from keyact.pose.crop import crop_people, crop_transforms, to_input
from keyact.runtime import OnnxModel

BATCH = 8  # people per run: memory stays bounded in a crowd
PHOTO_PEOPLE = 4  # the photo's verdict listens to its largest people
SQUARES = 3  # of a photo for the scene: 3 : 1 is covered
NEARLY_SQUARE = 0.1  # more than this of the shorter side is worth a second square
JOINTS = 17


def whole_photo(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The photo squeezed into a square: BGR (H, W, 3) to RGB (size, size, 3)."""
    method = cv2.INTER_AREA if max(image.shape[:2]) > size else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(image, (size, size), interpolation=method)[..., ::-1])


def photo_squares(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The squares that cover a photo: BGR (H, W, 3) to RGB (n, size, size, 3).

    As high or wide as the photo's shorter side, evenly spaced from one end to the other, at most
    `SQUARES`: nothing is squeezed, and what is small stays as large as it can.
    """
    short, long = sorted(image.shape[:2])
    count = min(SQUARES, int(np.ceil(long / short - NEARLY_SQUARE)))
    starts = np.linspace(0, long - short, count) if count > 1 else [(long - short) / 2]
    views = []
    for start in np.round(starts).astype(int):
        cut = slice(start, start + short)
        views.append(image[:, cut] if image.shape[1] > image.shape[0] else image[cut])
    return np.stack([whole_photo(view, size) for view in views])


def person_crops(
    image: NDArray[np.uint8], boxes: ArrayLike, keypoints: ArrayLike, size: int, margin: float
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A square crop round each person, and the key points in it.

    Parameters
    ----------
    image : (H, W, 3) BGR.
    boxes : (N, 4) xyxy and ``keypoints`` (N, 17, 3), both in photo pixels.
    size : side of the crops in pixels.
    margin : side of the square over the longer side of the box.

    Returns
    -------
    crops : (N, size, size, 3) uint8 RGB, black outside the photo.
    points : (N, 17, 3) float32, x and y in crop pixels.
    """
    transforms = crop_transforms(boxes, (size, size), margin)
    crops = crop_people(image, transforms, (size, size))
    points = np.array(keypoints, np.float32).reshape(-1, JOINTS, 3)
    points[..., :2] = to_input(points[..., :2], transforms)
    return np.ascontiguousarray(crops[..., ::-1]), points


def largest(boxes: NDArray[np.floating], count: int = PHOTO_PEOPLE) -> NDArray[np.intp]:
    """Indices of the ``count`` largest boxes (N, 4), largest first."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return np.argsort(-area, kind="stable")[:count]


class KeypointFusion:
    """See `keyact.action.base.ActionModel`.

    The photo's verdict is the mean of the logits of its largest people; with no person in it
    the photo itself stands in for the crop and no key point is confident.

    Parameters
    ----------
    model : its metadata must say ``"kind": "action"``.
    name : what to call it.

    Raises
    ------
    WeightsError : metadata or signature of another kind of network.
    """

    def __init__(self, model: OnnxModel, name: str) -> None:
        inputs = ("context", "crop", "keypoints")
        model.require("action", inputs=inputs, outputs=("logits",), optional=("squares",))
        self.name = name
        self._model = model
        meta = model.meta
        try:
            self.labels: tuple[str, ...] = tuple(str(label) for label in meta["labels"])
            self.size = int(meta["input"][0])
            self.margin = float(meta["crop_margin"])
            self.temperature = float(meta.get("temperature", 1.0))
            self.photo_temperature = float(meta.get("photo_temperature", self.temperature))
            self.unknown_threshold = float(meta.get("unknown_threshold", 0.0))
            squares = model.inputs.get("squares")
            self._square = None if squares is None else int(squares[1] or 0)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise WeightsError(f"{model.source}: bad action metadata ({error!r})") from error
        if not (
            self.labels
            and len(set(self.labels)) == len(self.labels)
            and 32 <= self.size <= 1024
            and (self._square is None or 32 <= self._square <= 1024)
            and 0.5 <= self.margin <= 10
            and self.temperature > 0
            and self.photo_temperature > 0
            and 0 <= self.unknown_threshold <= 1
        ):
            raise WeightsError(f"{model.source}: action metadata out of range: {meta}")

    def __call__(
        self, image: NDArray[np.uint8], boxes: ArrayLike, keypoints: ArrayLike
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits = self.logits(image, boxes, keypoints)
        box_array = np.asarray(boxes, np.float32).reshape(-1, 4)
        people = softmax(logits[: len(box_array)] / self.temperature)
        heard = logits[largest(box_array)] if len(box_array) else logits
        return people, softmax(heard.mean(0) / self.photo_temperature)

    def logits(
        self, image: NDArray[np.uint8], boxes: ArrayLike, keypoints: ArrayLike
    ) -> NDArray[np.float32]:
        """Raw scores (max(N, 1), C): a row per person, or one for the photo when N is 0."""
        context = whole_photo(image, self.size)[None]
        crops, points = person_crops(image, boxes, keypoints, self.size, self.margin)
        if len(crops) == 0:
            crops, points = context, np.zeros((1, JOINTS, 3), np.float32)
        of_photo = {"context": context}
        if self._square is not None:
            of_photo["squares"] = photo_squares(image, self._square)
        rows = []
        for start in range(0, len(crops), BATCH):
            part = slice(start, start + BATCH)
            out = self._model.run({**of_photo, "crop": crops[part], "keypoints": points[part]})[
                "logits"
            ]
            if out.shape != (len(crops[part]), len(self.labels)):
                raise WeightsError(
                    f"{self._model.source}: logits of shape {out.shape} do not fit "
                    f"{len(self.labels)} labels"
                )
            rows.append(out)
        return np.concatenate(rows).astype(np.float32)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities along the last axis."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True, initial=-np.inf))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True), np.float32)
