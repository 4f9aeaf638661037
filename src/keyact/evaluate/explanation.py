"""Why a model names an action: which places of the photo, and which joints, it rests on.

Both are found by taking evidence away and looking at what the model then says, so they hold for
every action model and need nothing but its ONNX file: no gradients, no Keras.

* Places: the photo is blurred in one patch after the other (occlusion sensitivity: Zeiler and
  Fergus, ECCV 2014), in two sizes of patch; blur, unlike grey, puts no new edges in.
* Joints: one after the other gets score 0, "not seen", which closes it out of every branch of the
  model.

What a patch or a joint is worth is the fall of the action's log-odds, log(p / (1 - p)), which does
not fade where the model is very sure.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.action.base import ActionModel
from keyact.action.keypoint_fusion import largest
from keyact.errors import UnknownNameError
from keyact.layouts import get_layout

PATCHES = (0.4, 0.24)  # sides of the patches over the shorter side of the photo
STEP = 0.5  # distance of neighbouring patches over their side
LARGEST = 1024  # px, longer side: larger photos are scaled down; networks look at 224 of them
_LEAST = 1e-5  # probabilities are kept off 0 and 1, where log-odds end


@dataclass(frozen=True, eq=False)
class Explanation:
    """What an action rests on.

    Attributes
    ----------
    model, label : the model, and the action that is explained.
    person : number of the person in ``boxes``, or None for the photo as a whole.
    probability : of the action.
    places : (H, W) float32, the fall of the log-odds where the photo is blurred; below 0 where
        blurring made the action more likely.
    joints : (N, 17) float32, the fall of the log-odds without each joint of each person, in the
        verdict that is explained; 0 for joints that are not seen.
    people : (N,) numbers of the people that the verdict rests on: the one, or the photo's largest.
    boxes, keypoints : (N, 4) and (N, 17, 3), theirs, in photo pixels.
    """

    model: str
    label: str
    person: int | None
    probability: float
    places: NDArray[np.float32]
    joints: NDArray[np.float32]
    people: tuple[int, ...]
    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]

    def to_json(self) -> dict[str, Any]:
        """Figures for a program: the joints by name, and the place that counts most."""
        names = get_layout("coco17").joints
        row, column = np.unravel_index(int(self.places.argmax()), self.places.shape)
        return {
            "schema_version": "1",
            "model": self.model,
            "label": self.label,
            "person": self.person,
            "probability": round(self.probability, 4),
            "strongest_place": {
                "x": int(column),
                "y": int(row),
                "log_odds": round(float(self.places.max()), 4),
            },
            "people": [
                {
                    "number": number,
                    "box": [round(float(value), 2) for value in box],
                    "joints": {
                        name: {"log_odds": round(float(worth), 4), "score": round(float(score), 4)}
                        for name, worth, score in zip(names, joints, points[:, 2], strict=True)
                    },
                }
                for number, box, joints, points in zip(
                    self.people, self.boxes, self.joints, self.keypoints, strict=True
                )
            ],
        }


def explain(
    image: NDArray[np.uint8],
    boxes: ArrayLike,
    keypoints: ArrayLike,
    model: ActionModel,
    *,
    label: str | None = None,
    person: int | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Explain the verdict on a photo, or on one person in it.

    Parameters
    ----------
    image : (H, W, 3) uint8 BGR.
    boxes : (N, 4) xyxy in pixels and ``keypoints`` (N, 17, 3), layout coco17; N may be 0.
    model : give it one thread if ``jobs`` is more than 1.
    label : the action to explain; the most probable when None.
    person : number of the person, from 0; None explains the verdict on the whole photo.
    jobs : blurred photos at once, in threads of this process; one per CPU when not given.
    progress : told how many blurred photos are done, of how many.

    Raises
    ------
    UnknownNameError : no such action, or no such person.
    """
    people = np.asarray(boxes, np.float32).reshape(-1, 4)
    points = np.asarray(keypoints, np.float32).reshape(-1, 17, 3)
    if person is not None and not 0 <= person < len(people):
        raise UnknownNameError("person", str(person), map(str, range(len(people))))
    heard = largest(people) if person is None else np.array([person])
    people, points = people[heard], points[heard]

    def verdict(photo: NDArray[np.uint8], joints: NDArray[np.float32]) -> NDArray[np.float32]:
        rows, whole = model(photo, people, joints)
        return whole if person is None else rows[0]

    before = verdict(image, points)  # of the photo as it is; what follows compares scaled ones
    if label is None:
        label = model.labels[int(before.argmax())]
    if label not in model.labels:
        raise UnknownNameError("action", label, model.labels)
    column = model.labels.index(label)
    work, zoom = _scaled(image)
    people = people * zoom
    points = points * np.array((zoom, zoom, 1), np.float32)
    level = _log_odds(verdict(work, points)[column])

    def worth(photo: NDArray[np.uint8], joints: NDArray[np.float32]) -> float:
        return level - _log_odds(verdict(photo, joints)[column])

    with ThreadPoolExecutor(jobs or os.cpu_count() or 1, "keyact-explain") as pool:
        places = _places(work, lambda photo: worth(photo, points), pool, progress)
        seen = list(zip(*np.nonzero(points[..., 2] > 0), strict=True))
        joints = np.zeros(points.shape[:2], np.float32)
        for at, value in zip(
            seen, pool.map(lambda at: worth(work, _without(points, at)), seen), strict=True
        ):
            joints[at] = value
    return Explanation(
        model.name,
        label,
        person,
        float(before[column]),
        _stretched(places, image.shape[1], image.shape[0]),
        joints,
        tuple(heard.tolist()),
        people / zoom,
        points / np.array((zoom, zoom, 1), np.float32),
    )


def _scaled(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The photo with a longer side of at most `LARGEST`, and what it was multiplied by."""
    import cv2

    zoom = LARGEST / max(image.shape[:2])
    if zoom >= 1:
        return image, 1.0
    size = [max(1, round(side * zoom)) for side in image.shape[1::-1]]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), zoom


def _stretched(places: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.resize(places, (width, height), interpolation=cv2.INTER_LINEAR))


def _log_odds(probability: np.floating[Any] | float) -> float:
    p = min(max(float(probability), _LEAST), 1 - _LEAST)
    return float(np.log(p / (1 - p)))


def _without(points: NDArray[np.float32], at: tuple[Any, ...]) -> NDArray[np.float32]:
    changed = points.copy()
    changed[at][2] = 0
    return changed


def _places(
    image: NDArray[np.uint8],
    worth: Callable[[NDArray[np.uint8]], float],
    pool: ThreadPoolExecutor,
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.float32]:
    """(H, W): mean worth of the patches over each pixel, both sizes alike."""
    import cv2

    height, width = image.shape[:2]
    shorter = min(height, width)
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), max(1.0, shorter / 12)), np.uint8)
    patches = [
        (size, centre)
        for size, side in enumerate(PATCHES)
        for centre in _centres(height, width, side * shorter)
    ]

    def mask_of(patch: tuple[int, tuple[float, float]]) -> NDArray[np.float32]:
        return _mask(height, width, patch[1], PATCHES[patch[0]] * shorter)

    def without(patch: tuple[int, tuple[float, float]]) -> float:
        soft = mask_of(patch)[..., None]
        return worth(np.asarray(image * (1 - soft) + blurred * soft + 0.5, np.uint8))

    total = np.zeros((len(PATCHES), height, width), np.float32)
    weight = np.full_like(total, 1e-6)
    values = pool.map(without, patches)
    for done, (patch, value) in enumerate(zip(patches, values, strict=True), 1):
        mask = mask_of(patch)  # made again: all of them at once would fill the memory
        total[patch[0]] += value * mask
        weight[patch[0]] += mask
        if progress is not None:
            progress(done, len(patches))
    return np.asarray((total / weight).mean(0), np.float32)


def _centres(height: int, width: int, side: float) -> list[tuple[float, float]]:
    """Centres (y, x) of patches that cover the photo to its borders."""
    ys, xs = (
        np.linspace(0, length - 1, max(2, int(np.ceil(length / (side * STEP))) + 1))
        for length in (height, width)
    )
    return [(float(y), float(x)) for y in ys for x in xs]


def _mask(height: int, width: int, centre: tuple[float, float], side: float) -> NDArray[np.float32]:
    """(H, W) weight of a patch with soft borders: 1 in the middle, half at ``side`` / 2."""
    profiles = [
        np.exp(-np.log(2.0) * (np.abs(np.arange(length) - middle) / (side / 2)) ** 4)
        for length, middle in zip((height, width), centre, strict=True)
    ]
    return np.asarray(np.outer(*profiles), np.float32)
