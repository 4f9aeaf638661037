"""How a model bears worse photos and worse key points than it was trained on.

The whole pipeline is run again on every changed photo, as a user would run it: a detector that no
longer finds the person in the fog is part of the result. With ``keep_keypoints`` the people of the
clean photo are taken instead, which shows what the action model alone bears.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from keyact import action, detect, pose
from keyact.action.base import ActionModel
from keyact.data.base import Dataset
from keyact.data.people import MAX_PEOPLE, People
from keyact.data.progress import Progress
from keyact.detect.base import GIVEN
from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.evaluate.identity import dataset_identity, fingerprint, model_identity, stage_identities
from keyact.evaluate.perturbations import (
    MIN_SIDE,
    PERTURBATIONS,
    SEVERITIES,
    Perturbation,
    corrupt,
    corruption_library,
    disturb,
    occlude,
    within_boxes,
)
from keyact.evaluate.predict import Photo, judge, known_samples, photos_of
from keyact.evaluate.predictions import Predictions, load_predictions, told_again
from keyact.evaluate.robustness_report import Condition, Robustness
from keyact.layouts import convert
from keyact.media.image import load_image
from keyact.pose.nms import nms_for

SIZE = 224
"""Shorter side, in pixels, that larger photos are brought to: the corruptions are made for it."""
_BATCH = 8  # photos in work, per job
_VERSION = 1  # of what is done to the photos: raise it when cached results no longer hold


def measure_robustness(
    model: str | Path | ActionModel,
    dataset: Dataset,
    folder: str | Path,
    *,
    perturbations: Sequence[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    detector: str | Path = "persondet-m",
    pose: str | Path = "fastpose-m",
    keep_keypoints: bool = False,
    size: int | None = SIZE,
    seed: int = 0,
    jobs: int | None = None,
    only_known: bool = False,
    on_error: Callable[[str, InputError], None] | None = None,
    progress: Callable[[str], Progress | None] | None = None,
) -> Robustness:
    """Accuracy of the photo's verdict under every perturbation and severity.

    The predictions of each condition are kept in ``folder`` as soon as they are complete, so that
    a run that was stopped goes on there; other models, photos or settings get names of their own.

    Parameters
    ----------
    model : a name, an ``.onnx`` file, or a loaded model.
    dataset : photos with labels.
    folder : of the kept predictions.
    perturbations : names of `keyact.evaluate.perturbations.PERTURBATIONS`; all when None.
    severities : of 1 to 5.
    detector, pose : as `keyact.detect.load` and `keyact.pose.load` take them.
    keep_keypoints : take people and key points of the clean photo.
    size : photos whose shorter side is longer are scaled down to it, also the clean ones; None
        leaves them.
    seed : the same seed gives the same photos.
    jobs : photos at once; one per CPU when not given.
    only_known : leave samples out whose label the model does not know.
    on_error : told of photos that cannot be read; they are left out.
    progress : given the name of a condition, returns what is told of its photos.

    Raises
    ------
    UnknownNameError : a perturbation, model, detector, pose backend or label that is not known.
    KeyactError : imagecorruptions is missing, no photo can be used, or a stage that knows only
        unchanged photos is asked about changed ones.
    """
    chosen = _chosen(perturbations, severities)
    jobs = jobs or os.cpu_count() or 1
    threads = 1 if jobs > 1 else None
    stages = _Stages(str(detector), str(pose), threads)
    if (
        stages.by_pixels
        and not keep_keypoints
        and any(one.family != "keypoints" for one, _ in chosen)
    ):
        raise KeyactError(
            f"{stages.by_pixels}: knows the people of unchanged photos alone; take these for the "
            "changed ones with --keep-keypoints (keep_keypoints=True)"
        )
    loaded = action.load(model, threads) if isinstance(model, (str, Path)) else model
    known = known_samples(loaded, dataset, only_known)
    settings = {
        "version": _VERSION,
        "model": model_identity(model),
        "dataset": dataset_identity(known),
        "stages": stage_identities(str(detector), str(pose)),
        "keep": keep_keypoints,
        "size": size,
        "seed": seed,
    }
    cache = Path(folder) / fingerprint(settings)
    run = _Run(loaded, known, stages, size, seed, jobs, keep_keypoints, on_error)

    def kept(name: str, photos: Callable[[], Iterator[Photo]]) -> Predictions:
        path = cache / f"{name}.npz"
        if path.is_file():
            old = load_predictions(path)
            told_again(old, run.complain)
            return old
        made = judge(
            loaded,
            known,
            photos(),
            verdict="photo",
            on_error=run.complain,
            progress=progress(name) if progress else None,
            jobs=jobs,
        )
        made.save(path)
        return made

    clean = kept("clean", run.clean)
    conditions = [
        Condition.of(
            one.name,
            one.family,
            severity,
            kept(f"{one.name}-{severity}", lambda: run.perturbed(one, severity)),  # noqa: B023
        )
        for one, severity in chosen
    ]
    return Robustness.of(clean, conditions, keep_keypoints=keep_keypoints, size=size, seed=seed)


def _chosen(
    names: Sequence[str] | None, severities: Sequence[int]
) -> list[tuple[Perturbation, int]]:
    names = list(PERTURBATIONS) if names is None else list(dict.fromkeys(names))
    for name in names:
        if name not in PERTURBATIONS:
            raise UnknownNameError("perturbation", name, PERTURBATIONS)
    if not severities or not set(severities) <= set(SEVERITIES):
        raise KeyactError(f"severities are of 1 to 5, not {list(severities)}")
    chosen = [PERTURBATIONS[name] for name in names]
    if any(one.family == "corruption" for one in chosen):
        corruption_library()  # missing: said now, not an hour later
    return [(one, severity) for one in chosen for severity in sorted(set(severities))]


class _Stages:
    """Detector and pose network, loaded on first use: a finished run needs neither."""

    def __init__(self, detector: str, estimator: str, threads: int | None) -> None:
        self._names = (detector, estimator)
        self._threads = threads

    @property
    def by_pixels(self) -> str | None:
        """The stage that knows a photo by its very pixels, and so no scaled or changed one."""
        return next((name for name in self._names if name.split(":")[0] in GIVEN), None)

    @cached_property
    def _loaded(self) -> tuple[detect.Detector, pose.PoseEstimator]:
        detector, estimator = self._names
        return detect.load(detector, self._threads), pose.load(estimator, self._threads)

    def load(self) -> None:
        _ = self._loaded

    def __call__(self, image: NDArray[np.uint8]) -> People:
        find, place = self._loaded
        boxes, scores = (found[:MAX_PEOPLE] for found in find(image))
        keypoints, kept = nms_for(place)(place(image, boxes), scores, boxes)
        body = convert(keypoints, place.layout, "coco17")
        return People(boxes[kept], scores[kept], np.asarray(body, np.float32).reshape(-1, 17, 3))


@dataclass
class _Run:
    """The photos of one data set, condition after condition."""

    model: ActionModel
    dataset: Dataset
    stages: _Stages
    size: int | None
    seed: int
    jobs: int
    keep: bool
    on_error: Callable[[str, InputError], None] | None
    _told: set[str] = field(default_factory=set)

    def complain(self, path: str, error: InputError) -> None:
        """Report a photo once, not once per condition."""
        if self.on_error is not None and path not in self._told:
            self.on_error(path, error)
        self._told.add(path)

    def clean(self) -> Iterator[Photo]:
        """The photos as they are."""
        self.stages.load()
        for path in photos_of(self.dataset):
            people = self._people[path] if self.stages.by_pixels else self.stages
            yield Photo(path, self._load(path), people)

    def perturbed(self, what: Perturbation, severity: int) -> Iterator[Photo]:
        """The photos, or their key points, perturbed."""
        self.stages.load()
        for path in photos_of(self.dataset):
            image = self._load(path)
            if isinstance(image, InputError):
                yield Photo(path, image, image)
                continue
            seed = crc32(
                f"{self.seed} {what.name} {severity} {path.name}".encode("utf-8", "replace")
            )
            if what.family == "corruption":
                image = corrupt(image, what.name, severity, seed)
                yield Photo(path, image, self._people[path] if self.keep else self.stages)
                continue
            people = self._people[path]
            rng = np.random.default_rng(seed)
            if isinstance(people, InputError):
                yield Photo(path, image, people)
            elif what.family == "occlusion":
                image = occlude(image, people.boxes, severity, rng)
                yield Photo(path, image, people if self.keep else self.stages)
            else:
                points = disturb(
                    what.name, severity, people.boxes, people.keypoints, self._stranger(path), rng
                )
                yield Photo(path, image, People(people.boxes, people.scores, points))

    @cached_property
    def _people(self) -> dict[Path, People | InputError]:
        """Who is in the clean photos, for what needs to know it."""
        found: dict[Path, People | InputError] = {}
        paths = iter(photos_of(self.dataset))
        with ThreadPoolExecutor(self.jobs, "keyact-people") as pool:
            while batch := list(islice(paths, _BATCH * self.jobs)):
                found.update(zip(batch, pool.map(self._find, batch), strict=True))
        return found

    def _find(self, path: Path) -> People | InputError:
        try:
            whole = load_image(path)
            image = self._scaled(path, whole)
            if not self.stages.by_pixels:
                return self.stages(image)
            people = self.stages(whole)
        except InputError as error:
            return error
        zoom = np.divide(image.shape[1::-1], whole.shape[1::-1], dtype=np.float32)
        joints = people.keypoints * np.append(zoom, np.float32(1))
        return People(people.boxes * np.tile(zoom, 2), people.scores, joints)

    @cached_property
    def _poses(self) -> dict[Path, NDArray[np.float32]]:
        """The largest person's pose in the box, of each photo with people."""
        poses = {}
        for path, people in self._people.items():
            if isinstance(people, People) and len(people):
                first = [int((people.boxes[:, 2:] - people.boxes[:, :2]).prod(1).argmax())]
                poses[path] = within_boxes(people.boxes[first], people.keypoints[first])
        return poses

    def _stranger(self, path: Path) -> NDArray[np.float32]:
        """Poses of the other photos; of all but this one."""
        others = [pose for other, pose in self._poses.items() if other != path]
        return np.concatenate(others) if others else np.zeros((0, 17, 3), np.float32)

    def _load(self, path: Path) -> NDArray[np.uint8] | InputError:
        try:
            return self._scaled(path, load_image(path))
        except InputError as error:
            return error

    def _scaled(self, path: Path, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import cv2

        height, width = image.shape[:2]
        if min(height, width) < MIN_SIDE:
            raise InputError(f"{path}: smaller than {MIN_SIDE} pixels, which corruptions need")
        if self.size is None or min(height, width) <= self.size:
            return image
        zoom = self.size / min(height, width)
        target = (round(width * zoom), round(height * zoom))
        return np.asarray(cv2.resize(image, target, interpolation=cv2.INTER_AREA), np.uint8)
