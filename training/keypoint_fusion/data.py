"""Photos with the people found in them, as (context, crop, keypoints, label) samples."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from keyact.action.keypoint_fusion import PHOTO_PEOPLE, largest, person_crops, whole_photo
from keyact.train import Augment
from keyact.train.augment import augmented
from keyact.train.mixing import mix
from keyact.train.photos import CROP_MARGIN, INPUTS
from training import ahead
from training.keypoint_fusion.model import JOINTS, SIZE

MAX_PEOPLE = PHOTO_PEOPLE  # per photo, in training too: the largest


@dataclass
class Photos:
    """Photos (BGR), label indices, and per photo boxes (n, 4) and keypoints (n, 17, 3)."""

    images: list[np.ndarray]
    labels: np.ndarray
    boxes: list[np.ndarray]
    keypoints: list[np.ndarray]
    names: tuple[str, ...]
    paths: list[str]
    targets: np.ndarray  # (N, C) float32, what is to be learnt: one-hot, or softened

    def __len__(self) -> int:
        return len(self.images)

    def some(self, which: Sequence[int]) -> Photos:
        """Those of these places."""
        listed = (self.images, self.boxes, self.keypoints, self.paths)
        images, boxes, keypoints, paths = ([column[i] for i in which] for column in listed)
        of_each = self.labels[which], self.targets[which]
        return Photos(images, of_each[0], boxes, keypoints, self.names, paths, of_each[1])


def manifest(shared: Path, dataset: str = "sports18") -> dict[str, dict[str, str]]:
    """What is known of each photo, by its path."""
    with (shared / "data" / dataset / "manifest.csv").open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def load(people: Path, shared: Path, split: str, dataset: str = "sports18") -> Photos:
    """``people``: an npz of training.people or training.label; ``split`` "" of a set without."""
    table = dict(np.load(people))
    root = shared / "data" / dataset
    label = {path: row.get("label", "") for path, row in manifest(shared, dataset).items()}
    names = tuple(sorted(set(label.values())))
    order = np.flatnonzero(table["split"] == split)
    images, boxes, keypoints = [], [], []
    posed = np.isfinite(table["keypoints"][:, 0, 0])
    rows_of: dict[int, list[int]] = {}
    for row in np.flatnonzero(posed):
        rows_of.setdefault(int(table["photo"][row]), []).append(int(row))
    for i in order:
        images.append(cv2.imread(str(root / str(table["paths"][i])), cv2.IMREAD_COLOR))
        rows = np.array(rows_of.get(int(i), []), int)
        box = table["boxes"][rows].reshape(-1, 4)
        biggest = largest(box, MAX_PEOPLE)
        boxes.append(box[biggest])
        keypoints.append(table["keypoints"][rows][biggest].reshape(-1, JOINTS, 3))
    paths = [str(table["paths"][i]) for i in order]
    labels = np.array([names.index(label[p]) for p in paths])
    targets = np.eye(len(names), dtype=np.float32)[labels]
    return Photos(images, labels, boxes, keypoints, names, paths, targets)


def soften(photos: Photos, soft_labels: Path, share: float) -> None:
    """Learn by ``share`` what a file of training.keypoint_fusion.soft_labels says of each photo.

    Raises
    ------
    ValueError : the file is of other photos.
    """
    table = np.load(soft_labels)
    if table["paths"].tolist() != photos.paths:
        raise ValueError(f"{soft_labels} is of other photos: run soft_labels again")
    photos.targets = (1 - share) * photos.targets + share * table["probabilities"]


def samples_of(
    photos: Photos, i: int, margin: float = CROP_MARGIN, size: int = SIZE
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every person of a photo, or the photo alone, as at inference: context, crops, keypoints."""
    image = photos.images[i]
    context = whole_photo(image, size)[None]
    if len(photos.boxes[i]) == 0:
        return context, context, np.zeros((1, JOINTS, 3), np.float32)
    crops, points = person_crops(image, photos.boxes[i], photos.keypoints[i], size, margin)
    return np.repeat(context, len(crops), 0), crops, points


@dataclass(frozen=True)
class Look:
    """How samples are varied: side of the pictures in pixels, and see `keyact.train`."""

    side: int = SIZE
    augment: Augment = field(default_factory=Augment)
    mixup: float = 0.0
    cutmix: float = 0.0


def batches(
    photos: Photos, size: int, seed: int, start_step: int, look: Look, workers: int = 0
) -> Iterator[ahead.Batch]:
    """:func:`endless` batches of context and crop (N, side, side, 3) RGB and keypoints
    (N, 17, 3)."""

    def sample(i: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        photo = photos.images[i], photos.boxes[i], photos.keypoints[i]
        return augmented(*photo, look.side, CROP_MARGIN, look.augment, rng)[:3]

    return endless(photos.targets, size, seed, start_step, look, sample, workers)


def endless(
    targets: np.ndarray,
    size: int,
    seed: int,
    start_step: int,
    look: Look,
    sample: Callable[[int, np.random.Generator], Sequence[np.ndarray]],
    workers: int = 0,
) -> Iterator[ahead.Batch]:
    """Batches without end, each photo once per round; seed and step tell all of them.

    A batch: what ``sample`` makes of each photo, as many of `INPUTS` as it gives, and the shares of
    the labels (N, C), ``targets`` of these photos, both as :class:`Look` mixes them.
    """
    per_round = len(targets) // size

    def make(step: int) -> ahead.Batch:
        turn, place = divmod(step, per_round)
        order = np.random.default_rng([seed, turn]).permutation(len(targets))
        rng = np.random.default_rng([seed, turn, place])
        chosen = order[place * size : (place + 1) * size]
        columns = zip(*(sample(i, rng) for i in chosen.tolist()), strict=True)
        inputs = dict(zip(INPUTS, map(np.stack, columns), strict=False))
        inputs, labels = mix(inputs, targets[chosen], look.mixup, look.cutmix, rng)
        return (*inputs.values(), labels)

    return ahead.ahead(make, start_step, workers)
