"""Photos with their people, as training samples and as the model will see them later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from keyact.action.keypoint_fusion import JOINTS, PHOTO_PEOPLE, largest, person_crops, whole_photo
from keyact.data import Dataset
from keyact.data.people import People
from keyact.errors import InputError, KeyactError
from keyact.media.image import load_image
from keyact.pose.crop import crop_transforms, to_input
from keyact.train.augment import PHOTO_ALONE, Image, augmented
from keyact.train.config import TrainConfig
from keyact.train.feed import Batch
from keyact.train.mixing import mix
from keyact.train.objective import class_weights, one_hot

if TYPE_CHECKING:
    import keras

CROP_MARGIN = 1.3  # side of the square crop over the longer side of the box
SAME_PERSON = 0.5  # IoU of a found person with the box that a label is about
INPUTS = ("context", "crop", "keypoints")


class Seen(NamedTuple):
    """A photo as at inference: ``context`` (1, S, S, 3), ``crop`` (n, S, S, 3) RGB and
    ``keypoints`` (n, 17, 3) of its people, largest first; without people the photo is the crop."""

    context: Image
    crop: Image
    keypoints: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Labelled photos and their largest people; decoded again only beyond ``memory`` bytes.

    Attributes
    ----------
    paths : N photos.
    labels : (N,) label indices.
    boxes, keypoints : per photo (n, 4) xyxy and (n, 17, 3), largest person first, n up to 4.
    names : the labels.
    problems : one line for each photo that could not be read.
    """

    paths: tuple[Path, ...]
    labels: NDArray[np.intp]
    boxes: tuple[NDArray[np.float32], ...]
    keypoints: tuple[NDArray[np.float32], ...]
    names: tuple[str, ...]
    problems: tuple[str, ...] = ()
    memory: int = 2**31
    _kept: dict[int, tuple[Image, float]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _used: list[int] = field(default_factory=lambda: [0], repr=False)

    def __len__(self) -> int:
        return len(self.paths)

    def view(self, i: int, size: int) -> tuple[Image, float]:
        """Photo ``i``, no larger than crops of ``size`` need it, and how much it was shrunk."""
        if i in self._kept:
            return self._kept[i]
        scale = self._scale(i, size)
        image = load_image(self.paths[i])
        if not len(self.boxes[i]):  # the photo itself is the crop
            scale = min(1.0, 2 * size / min(image.shape[:2]))
        if scale < 1:
            height, width = image.shape[:2]
            to = (max(round(width * scale), 1), max(round(height * scale), 1))
            image = np.asarray(cv2.resize(image, to, interpolation=cv2.INTER_AREA), np.uint8)
        with self._lock:
            if i not in self._kept and self._used[0] + image.nbytes <= self.memory:
                self._kept[i] = (image, scale)
                self._used[0] += image.nbytes
        return image, scale

    def _scale(self, i: int, size: int) -> float:
        """Shrink so that the smallest person's crop still has two photo pixels to each of its."""
        if not len(self.boxes[i]):
            return 1.0
        sides = (self.boxes[i][:, 2:] - self.boxes[i][:, :2]).max(1)
        return float(min(1.0, 2 * size / max(float(sides.min()), 1.0)))

    def seen(self, i: int, size: int, margin: float = CROP_MARGIN) -> Seen:
        """Photo ``i`` as the model will get it."""
        image = load_image(self.paths[i])
        context = whole_photo(image, size)[None]
        if not len(self.boxes[i]):
            return Seen(context, context, np.zeros((1, JOINTS, 3), np.float32))
        crops, points = person_crops(image, self.boxes[i], self.keypoints[i], size, margin)
        return Seen(context, crops, points)

    def seen_points(self, i: int, size: int, margin: float = CROP_MARGIN) -> NDArray[np.float32]:
        """The key points of `seen` alone; the photo is not read."""
        if not len(self.boxes[i]):
            return np.zeros((1, JOINTS, 3), np.float32)
        transforms = crop_transforms(self.boxes[i], (size, size), margin)
        points = self.keypoints[i].copy()
        points[..., :2] = to_input(points[..., :2], transforms)
        return points


def load_photos(
    dataset: Dataset,
    people: Iterable[tuple[Path, People | InputError]],
    names: Sequence[str],
    memory: int = 2**31,
) -> PhotoSet:
    """Samples with the people found in them; where a label is about a box, the person in it.

    Raises
    ------
    KeyactError : no photo can be used.
    """
    if dataset.kind != "photos":
        raise KeyactError(f"{dataset.name}: holds {dataset.kind}; photo models learn from photos")
    kept, boxes, keypoints, problems = [], [], [], []
    for sample, (_, found) in zip(dataset.samples, people, strict=True):
        if isinstance(found, InputError):
            problems.append(str(found))
            continue
        box, points = found.boxes, found.keypoints
        if sample.box is not None:
            box, points = _labelled(np.array(sample.box, np.float32), box, points)
        order = largest(box, PHOTO_PEOPLE)
        kept.append(sample)
        boxes.append(np.asarray(box[order], np.float32).reshape(-1, 4))
        keypoints.append(np.asarray(points[order], np.float32).reshape(-1, JOINTS, 3))
    if not kept:
        raise KeyactError(f"{dataset.name}: none of its photos can be used: {problems[:1]}")
    labels = np.array([list(names).index(str(sample.label)) for sample in kept], np.intp)
    return PhotoSet(
        tuple(sample.path for sample in kept),
        labels,
        tuple(boxes),
        tuple(keypoints),
        tuple(names),
        tuple(problems),
        memory,
    )


def _labelled(
    box: NDArray[np.float32], boxes: NDArray[np.float32], keypoints: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The found person in the label's box, or the box itself with no joint seen."""
    shared = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    overlap = shared.clip(0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    iou = overlap / np.maximum(areas - overlap, 1e-6)
    if len(iou) and iou.max() >= SAME_PERSON:
        best = iou.argmax()[None]
        return boxes[best], keypoints[best]
    return box[None], np.zeros((1, JOINTS, 3), np.float32)


class PhotoBatches:
    """Augmented batches, each photo once an epoch; see `keyact.train.feed.BatchSource`.

    Parameters
    ----------
    inputs : which of `INPUTS` the network takes.
    size : side of photo and crop in pixels.
    taught : per photo a teacher's probabilities, a row (C,) for each person and one for the
        photo behind them; None without a teacher.
    """

    def __init__(
        self,
        photos: PhotoSet,
        config: TrainConfig,
        inputs: Sequence[str],
        size: int,
        margin: float = CROP_MARGIN,
        taught: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        self.classes = len(photos.names)
        self._photos, self._config, self._inputs = photos, config, tuple(inputs)
        self._size, self._margin, self._taught = size, margin, taught
        self._batch = min(config.batch, len(photos))
        self.steps = len(photos) // self._batch
        self._weights = class_weights(config, photos.labels, photos.names)
        self._order: tuple[int, NDArray[np.intp]] = (-1, np.zeros(0, np.intp))

    def batch(self, epoch: int, step: int) -> Batch:
        config, photos = self._config, self._photos
        chosen = self._rows(epoch)[step * self._batch : (step + 1) * self._batch]
        rng = np.random.default_rng([config.seed, epoch, step])
        samples = []
        for i in chosen.tolist():
            image, scale = photos.view(i, self._size)
            points = photos.keypoints[i] * np.array([scale, scale, 1], np.float32)
            boxes = photos.boxes[i] * scale
            samples.append(
                augmented(image, boxes, points, self._size, self._margin, config.augment, rng)
            )
        inputs: dict[str, NDArray[Any]] = {
            name: np.stack([getattr(sample, name) for sample in samples]) for name in self._inputs
        }
        labels = photos.labels[chosen]
        targets = one_hot(labels, self.classes)
        if self._taught is not None:
            rows = [
                self._taught[i][sample.person if sample.person != PHOTO_ALONE else -1]
                for i, sample in zip(chosen.tolist(), samples, strict=True)
            ]
            targets = np.concatenate([targets, np.stack(rows)], 1)
        inputs, targets = mix(inputs, targets, config.mixup, config.cutmix, rng)
        return Batch(inputs, targets, self._weights[labels])

    def _rows(self, epoch: int) -> NDArray[np.intp]:
        kept, order = self._order
        if kept != epoch:
            rng = np.random.default_rng([self._config.seed, epoch])
            order = rng.permutation(len(self._photos))
            self._order = (epoch, order)
        return order


def view_inputs(seen: Seen, inputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    """A row for each person of what a network takes; one row when it sees the photo alone."""
    count = 1 if tuple(inputs) == ("context",) else len(seen.crop)
    rows: dict[str, NDArray[Any]] = {
        "context": np.repeat(seen.context, count, 0),
        "crop": seen.crop,
        "keypoints": seen.keypoints,
    }
    return {name: rows[name] for name in inputs}


def run_over(
    net: keras.Model,
    items: Iterable[Mapping[str, NDArray[Any]]],
    batch: int,
) -> Iterator[Any]:
    """What the network gives for each item's rows (n, ...), in batches of one size."""
    waiting: list[Mapping[str, NDArray[Any]]] = []

    def rows(item: Mapping[str, NDArray[Any]]) -> int:
        return len(next(iter(item.values())))

    def flush() -> Iterator[Any]:
        names = list(waiting[0])
        together = {name: np.concatenate([item[name] for item in waiting]) for name in names}
        count = len(together[names[0]])
        parts = []
        for start in range(0, count, batch):
            part = {name: array[start : start + batch] for name, array in together.items()}
            lack = batch - len(part[names[0]])
            padded = {n: np.concatenate([a, np.repeat(a[-1:], lack, 0)]) for n, a in part.items()}
            out = net.predict_on_batch(padded)
            parts.append({k: v[: batch - lack] for k, v in _named(out).items()})
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        at = 0
        for item in waiting:
            n = rows(item)
            yield {name: array[at : at + n] for name, array in joined.items()}
            at += n
        waiting.clear()

    for item in items:
        waiting.append(item)
        if sum(map(rows, waiting)) >= batch:
            yield from flush()
    if waiting:
        yield from flush()


def _named(out: Any) -> dict[str, NDArray[Any]]:
    return dict(out) if isinstance(out, Mapping) else {"logits": np.asarray(out)}


def ahead(places: Sequence[int], make: Callable[[int], Any], workers: int) -> Iterator[Any]:
    """``make(i)`` for each place in order, a few of them prepared by threads."""
    with ThreadPoolExecutor(workers, "keyact-photo") as pool:
        waiting = iter(places)
        while window := list(islice(waiting, 16 * workers)):
            yield from pool.map(make, window)
