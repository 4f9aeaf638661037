"""How exact key points are on photos that people annotated: COCO's OKS and its AP, and PCK.

OKS (Lin et al., 2014; https://cocodataset.org/#keypoints-eval) of a person is the mean over the
labelled joints of ``exp(-d^2 / (2 area (2 sigma)^2))``; its AP is pycocotools' own, so that the
figures are those of the literature. PCK (Yang and Ramanan, 2013) is the share of joints within a
fraction of the longer side of the true box.

All backends are compared in COCO's 17 joints; what a backend's layout lacks counts as missed.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyact.backends import optional_import
from keyact.errors import InputError
from keyact.layouts import convert, get_layout
from keyact.media.image import load_image, photo_size
from keyact.pose.annotations import AnnotatedPhoto
from keyact.pose.nms import nms_for
from keyact.pose.score import pose_score

if TYPE_CHECKING:
    from keyact.detect.base import Detector
    from keyact.pose.base import PoseEstimator

LAYOUT = "coco17"
SIGMAS = np.array(
    [.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107,
     .087, .087, .089, .089]
)  # fmt: skip
"""COCO's standard deviations of the annotators per joint (cocoeval.py)."""
PCK_AT = (0.1, 0.2)
"""Fractions of the longer side of the true box."""

Floats = NDArray[np.float64]
Progress = Callable[[Sequence[AnnotatedPhoto]], Iterable[AnnotatedPhoto]]


@dataclass(frozen=True)
class PoseReport:
    """What one backend reached. Shares lie in 0 to 1; None where nothing could be measured.

    Attributes
    ----------
    pose, detector : names; the detector is ``"true boxes"`` when the annotated boxes were given.
    photos, people : how many were judged; people are those with a labelled joint.
    found : people who got a pose.
    ap, ap50, ap75, ar : COCO's average precision (OKS .50 to .95, at .50, at .75) and recall.
    oks : mean over all people; who was not found counts as 0.
    pck : share of the labelled joints within a fraction of the box, by fraction.
    joint_oks, joint_pck : by joint; PCK at the first fraction of `PCK_AT`.
    ms_per_person : median over the photos of the pose stage's time per box.
    ms_per_detection : median of the detector's time per photo.
    """

    pose: str
    detector: str
    photos: int
    people: int
    found: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    ar: float | None
    oks: float
    pck: dict[float, float]
    joint_oks: dict[str, float | None]
    joint_pck: dict[str, float | None]
    ms_per_person: float | None
    ms_per_detection: float | None

    def row(self) -> dict[str, object]:
        """All of it as one flat row, the same columns for every report."""
        fields: dict[str, object] = {
            name: getattr(self, name)
            for name in ("pose", "detector", "photos", "people", "found", "ap", "ap50", "ap75")
        }
        fields |= {"ar": self.ar, "oks": self.oks}
        fields |= {f"pck@{fraction:g}": share for fraction, share in self.pck.items()}
        fields |= {"ms_per_person": self.ms_per_person, "ms_per_detection": self.ms_per_detection}
        fields |= {f"oks_{joint}": share for joint, share in self.joint_oks.items()}
        fields |= {f"pck@{PCK_AT[0]:g}_{joint}": share for joint, share in self.joint_pck.items()}
        return {
            name: round(value, 2 if name.startswith("ms_") else 4)
            if isinstance(value, float)
            else value
            for name, value in fields.items()
        }


@dataclass
class _Tally:
    """What is collected photo by photo."""

    similarity: list[Floats] = field(default_factory=list)  # (P, 17) OKS of each joint
    distance: list[Floats] = field(default_factory=list)  # (P, 17) over the box's longer side
    labelled: list[NDArray[np.bool_]] = field(default_factory=list)  # (P, 17)
    found: int = 0
    detections: list[dict[str, Any]] = field(default_factory=list)
    pose_ms: list[float] = field(default_factory=list)
    detect_ms: list[float] = field(default_factory=list)


def evaluate(
    estimator: PoseEstimator,
    photos: Sequence[AnnotatedPhoto],
    detector: Detector | None = None,
    *,
    name: str | None = None,
    detector_name: str | None = None,
    runs: int = 1,
    progress: Progress = iter,
    on_photo_error: Callable[[AnnotatedPhoto, InputError], None] | None = None,
) -> PoseReport:
    """Judge a backend.

    Parameters
    ----------
    photos : see `keyact.pose.annotations.read_photos`.
    detector : finds the boxes, and pose NMS follows as in `keyact.Recognizer`; None gives the
        annotated boxes and leaves the NMS out.
    name, detector_name : what to call them in the report; by default as they call themselves.
    runs : the pose stage is timed so many times per photo and the median taken.
    progress : wraps the photos, such as ``rich.progress.track``.
    on_photo_error : is given each photo that no backend can be judged on, because it is damaged,
        is of another size than was annotated, or the detector refuses it; it is left out. By
        default that is raised.

    Raises
    ------
    InputError : a photo cannot be used; see ``on_photo_error``.
    KeyactError : pycocotools is not installed.
    """
    coco = _Coco()
    tally = _Tally()
    judged: list[AnnotatedPhoto] = []
    warm = False
    for photo in progress(photos):
        try:
            image = _load(photo)
            if detector is None:
                boxes, scores = photo.boxes, np.ones(len(photo.boxes), np.float32)
            else:
                start = time.perf_counter()
                found_boxes, scores = detector(image)
                if warm:  # the first call of a network prepares it
                    tally.detect_ms.append(_milliseconds(start))
                boxes = found_boxes.astype(np.float64)
        except InputError as error:
            if on_photo_error is None:
                raise
            on_photo_error(photo, error)
            continue
        judged.append(photo)
        if not warm:
            estimator(image, boxes)
            warm = True
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            raw = estimator(image, boxes)
            times.append(_milliseconds(start))
        if len(boxes):
            tally.pose_ms.append(statistics.median(times) / len(boxes))
        owners: NDArray[np.intp] | None = np.arange(len(boxes))
        if detector is not None:
            raw, kept = nms_for(estimator)(raw, scores, boxes)
            scores, owners = scores[kept], None
        poses = convert(raw, estimator.layout, LAYOUT).astype(np.float64)
        _judge(tally, photo, poses, owners)
        _list(tally, photo, poses, pose_score(raw, scores))
    return _report(
        tally,
        coco.average_precision(judged, tally.detections),
        name or estimator.name,
        detector_name or ("true boxes" if detector is None else detector.name),
        len(judged),
    )


def similarity(found: Floats, truth: Floats, area: Floats) -> Floats:
    """OKS of each joint.

    Parameters
    ----------
    found, truth : (..., 17, 2 or more) x, y in photo pixels.
    area : (...) of the person in square pixels.

    Returns
    -------
    (..., 17) in 0 to 1.
    """
    squared = ((found[..., :2] - truth[..., :2]) ** 2).sum(-1)
    spread = 2 * np.maximum(area, 1.0)[..., None] * (2 * SIGMAS) ** 2
    return np.asarray(np.exp(-squared / spread), np.float64)


def _load(photo: AnnotatedPhoto) -> NDArray[np.uint8]:
    """The pixels, upright as keyact takes every photo, if it is them that were annotated."""
    image = load_image(photo.path)
    height, width = image.shape[:2]
    if photo.size is None or photo.size == (width, height):
        return image
    wide, high = photo.size
    differs = f"{photo.path}: is {width} x {height} pixels, but was annotated at {wide} x {high}"
    if photo_size(photo.path) == photo.size:  # width and height swapped
        raise InputError(
            f"{differs}, before its EXIF orientation turns it upright: annotate it upright, or "
            "remove the orientation from the file"
        )
    raise InputError(f"{differs}: give the photo that was annotated")


def _judge(
    tally: _Tally, photo: AnnotatedPhoto, poses: Floats, owners: NDArray[np.intp] | None
) -> None:
    """Compare each annotated person with their pose: by place, or by the best OKS."""
    truth, labelled = photo.keypoints, photo.keypoints[..., 2] > 0
    seen = poses[..., 2].max(1, initial=0) > 0
    all_pairs = similarity(poses[None], truth[:, None], photo.areas[:, None])  # (P, N, 17)
    mean = (all_pairs * labelled[:, None]).sum(-1) / np.maximum(labelled.sum(-1), 1)[:, None]
    matched = {i: i for i in owners} if owners is not None else _match(mean)
    longer = (photo.boxes[:, 2:] - photo.boxes[:, :2]).max(1, initial=1)
    for person in range(len(truth)):
        if not labelled[person].any():
            continue
        alike, apart = np.zeros(len(SIGMAS)), np.full(len(SIGMAS), np.inf)
        pose = matched.get(person)
        if pose is not None and seen[pose]:
            tally.found += 1
            has = poses[pose, :, 2] > 0
            alike = all_pairs[person, pose] * has
            gap = np.linalg.norm(poses[pose, :, :2] - truth[person, :, :2], axis=-1)
            apart = np.where(has, gap / longer[person], np.inf)
        tally.similarity.append(alike)
        tally.distance.append(apart)
        tally.labelled.append(labelled[person])


def _match(similarities: Floats) -> dict[int, int]:
    """Pair people (rows) with poses (columns), the most alike first, each once."""
    pairs: dict[int, int] = {}
    for flat in np.argsort(-similarities, axis=None, kind="stable"):
        person, pose = (int(i) for i in np.unravel_index(flat, similarities.shape))
        if person not in pairs and pose not in pairs.values() and similarities[person, pose] > 0:
            pairs[person] = pose
    return pairs


def _list(tally: _Tally, photo: AnnotatedPhoto, poses: Floats, scores: NDArray[np.float32]) -> None:
    for pose, score in zip(poses, scores, strict=True):
        if pose[:, 2].any():
            tally.detections.append(
                {
                    "image_id": photo.image_id,
                    "category_id": 1,
                    "keypoints": pose.reshape(-1).tolist(),
                    "score": float(score),
                }
            )


def _report(
    tally: _Tally, stats: dict[str, float | None], name: str, detector: str, photos: int
) -> PoseReport:
    joints = get_layout(LAYOUT).joints
    shape = (len(tally.labelled), len(joints))
    alike = np.array(tally.similarity, np.float64).reshape(shape)
    apart = np.array(tally.distance, np.float64).reshape(shape)
    labelled = np.array(tally.labelled, bool).reshape(shape)
    counts = labelled.sum(1)
    near = apart < PCK_AT[0]

    def by_joint(values: NDArray[Any]) -> dict[str, float | None]:
        return {
            joint: float(values[labelled[:, j], j].mean()) if labelled[:, j].any() else None
            for j, joint in enumerate(joints)
        }

    people = len(labelled)
    return PoseReport(
        pose=name,
        detector=detector,
        photos=photos,
        people=people,
        found=tally.found,
        **stats,
        oks=float(((alike * labelled).sum(1) / counts).mean()) if people else 0.0,
        pck={
            fraction: float((apart < fraction)[labelled].mean()) if people else 0.0
            for fraction in PCK_AT
        },
        joint_oks=by_joint(alike),
        joint_pck=by_joint(near),
        ms_per_person=statistics.median(tally.pose_ms) if tally.pose_ms else None,
        ms_per_detection=statistics.median(tally.detect_ms) if tally.detect_ms else None,
    )


class _Coco:
    """COCO's evaluation, by pycocotools."""

    def __init__(self) -> None:
        self._data = optional_import("pycocotools.coco", "pose-eval")
        self._eval = optional_import("pycocotools.cocoeval", "pose-eval")

    def average_precision(
        self, photos: Sequence[AnnotatedPhoto], detections: list[dict[str, Any]]
    ) -> dict[str, float | None]:
        truth = list(_truth(photos))
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a table of its own
            known = self._data.COCO()
            known.dataset = {
                "images": [{"id": photo.image_id} for photo in photos],
                "annotations": truth,
                "categories": [{"id": 1, "name": "person"}],
            }
            known.createIndex()
            names = {"ap": 0, "ap50": 1, "ap75": 2, "ar": 5}
            if not any(entry["num_keypoints"] and not entry["iscrowd"] for entry in truth):
                return dict.fromkeys(names)
            if not detections:
                return dict.fromkeys(names, 0.0)
            judge = self._eval.COCOeval(known, known.loadRes(detections), "keypoints")
            judge.params.kpt_oks_sigmas = SIGMAS
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
        return {name: float(judge.stats[place]) for name, place in names.items()}


def _truth(photos: Sequence[AnnotatedPhoto]) -> Iterator[dict[str, Any]]:
    number = 0
    for photo in photos:
        for entry in photo.entries:
            number += 1
            yield {**entry, "id": number, "image_id": photo.image_id, "category_id": 1}


def _milliseconds(start: float) -> float:
    return (time.perf_counter() - start) * 1000
