"""Run an action model over a labelled photo set whose people are known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from keyact.action.base import ActionModel
from keyact.data.base import Dataset
from keyact.data.people import People
from keyact.data.progress import Progress
from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.evaluate.predictions import Predictions
from keyact.media.image import load_image
from keyact.prefetch import prefetch

Verdict: TypeAlias = Literal["auto", "photo", "person"]
OnError: TypeAlias = Literal["raise", "skip"] | Callable[[str, InputError], None]

ATTRIBUTES = ("people", "box_size", "visible_joints")
"""Of each row of predictions; see `keyact.evaluate.subgroups`."""
SEEN = 0.3  # joint score from which a joint counts as visible, as in `keyact.action.posture`
SAME_PERSON = 0.5  # overlap (IoU) from which a found person is the one the data set means
_AHEAD = 2  # photos decoded ahead, per job
_BATCH = 4  # photos in work, per job


class Photo(NamedTuple):
    """A photo and who is in it; ``people`` may be what finds them, which then runs in a worker."""

    path: Path
    image: NDArray[np.uint8] | InputError
    people: People | InputError | Callable[[NDArray[np.uint8]], People]


def photos_of(dataset: Dataset) -> list[Path]:
    """The photos of a data set, each once: the order in which their people are wanted."""
    return list(dict.fromkeys(sample.path for sample in dataset.samples))


def known_samples(model: ActionModel, dataset: Dataset, only_known: bool = False) -> Dataset:
    """The samples that the model can be judged by, under the model's names for their labels.

    ``table_tennis`` and ``Table Tennis`` are one label: folders are often named so.

    Parameters
    ----------
    only_known : leave samples out whose label the model does not know, instead of refusing them.

    Raises
    ------
    UnknownNameError : a label that is none of the model's.
    KeyactError : no sample is left, or the data set holds videos.
    """
    if dataset.kind != "photos":
        raise KeyactError(f"{dataset.name}: holds {dataset.kind}; photos can be evaluated here")
    folded = {_folded(label): label for label in model.labels}
    samples = []
    for sample in dataset.samples:
        if sample.label is None:
            continue
        known = sample.label in model.labels
        name = sample.label if known else folded.get(_folded(sample.label))
        if name is not None:
            samples.append(replace(sample, label=name))
        elif not only_known:
            raise UnknownNameError(
                f"action for the model {model.name}:", sample.label, model.labels
            )
    if not samples:
        raise KeyactError(f"{dataset.name}: has no labelled photo of the model's actions")
    return replace(dataset, samples=tuple(samples), labels=tuple(model.labels))


def predict_dataset(
    model: ActionModel,
    dataset: Dataset,
    people: Iterable[tuple[Path, People | InputError]],
    *,
    verdict: Verdict = "auto",
    only_known: bool = False,
    on_error: OnError = "raise",
    progress: Progress | None = None,
    jobs: int = 1,
) -> Predictions:
    """What the model says about every labelled sample, with what the subgroup tables go by.

    Parameters
    ----------
    model : its labels are those of the result.
    dataset : photos; samples without a label are left out.
    people : who is in each photo, in the order of `photos_of`, as
        `keyact.data.people.find_people` yields it.
    verdict : ``"photo"`` judges the photo's verdict (``image_actions`` of keyact's results);
        ``"person"`` that of the person in the sample's box: the found person who overlaps it by
        `SAME_PERSON`, else the box itself with no joint seen. ``"auto"`` is ``"person"`` where
        every sample has a box.
    only_known : leave samples out whose label the model does not know, instead of refusing them.
    on_error : what becomes of a photo that cannot be read; unless it is ``"raise"`` the photo
        ends up in ``failed``.
    jobs : photos at once, in threads of this process.

    Raises
    ------
    UnknownNameError : a label that is none of the model's.
    InputError : a photo cannot be read.
    KeyactError : no sample is left, or the data set holds videos.
    """
    known = known_samples(model, dataset, only_known)
    wanted = set(photos_of(known))
    photos = (_decoded(path, found) for path, found in people if path in wanted)
    return judge(
        model, known, photos, verdict=verdict, on_error=on_error, progress=progress, jobs=jobs
    )


def judge(
    model: ActionModel,
    dataset: Dataset,
    photos: Iterable[Photo],
    *,
    verdict: Verdict = "auto",
    on_error: OnError = "raise",
    progress: Progress | None = None,
    jobs: int = 1,
) -> Predictions:
    """`predict_dataset` for photos that are decoded already, of `known_samples`.

    Parameters
    ----------
    photos : one for each of `photos_of`; taken ahead in a thread of its own.
    """
    samples = dataset.samples
    if verdict == "auto":
        verdict = "person" if all(sample.box is not None for sample in samples) else "photo"
    if verdict == "person" and any(sample.box is None for sample in samples):
        raise KeyactError(f"{dataset.name}: not every photo has a box, so persons cannot be judged")
    rows_of: dict[Path, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        rows_of[sample.path].append(row)
    boxes = {
        path: np.array([samples[row].box for row in rows], np.float32)
        if verdict == "person"
        else None
        for path, rows in rows_of.items()
    }

    def verdicts(photo: Photo) -> list[_Verdict] | InputError:
        return _verdicts(model, photo, boxes[photo.path])

    found: dict[int, _Verdict] = {}
    failed: list[Path] = []
    total, done = len(rows_of), 0
    with (
        ThreadPoolExecutor(jobs, "keyact-judge") as pool,
        closing(prefetch(photos, _AHEAD * jobs)) as remaining,
    ):
        while batch := list(islice(remaining, _BATCH * jobs)):
            for photo, result in zip(batch, pool.map(verdicts, batch), strict=True):
                rows = rows_of.pop(photo.path)
                if isinstance(result, InputError):
                    if on_error == "raise":
                        raise result
                    if callable(on_error):
                        on_error(str(photo.path), result)
                    failed.append(photo.path)
                else:
                    found.update(zip(rows, result * (len(rows) // len(result)), strict=True))
                done += 1
                if progress is not None:
                    progress(done, total)
    if rows_of:
        raise ValueError(f"there is no photo for {next(iter(rows_of))}")
    if not found:
        raise KeyactError(f"{dataset.name}: none of its {len(failed)} photos could be read")

    kept = sorted(found)
    groups = tuple(samples[row].group or "" for row in kept)
    return Predictions(
        labels=tuple(model.labels),
        paths=tuple(str(samples[row].path) for row in kept),
        targets=np.array([model.labels.index(str(samples[row].label)) for row in kept], np.intp),
        probabilities=np.array([found[row].probabilities for row in kept], np.float32),
        groups=_alone(groups) if any(groups) else None,
        attributes={
            name: np.array([getattr(found[row], name) for row in kept]) for name in ATTRIBUTES
        },
        model=model.name,
        dataset=dataset.name,
        unknown_threshold=model.unknown_threshold,
        failed=tuple(map(str, failed)),
    )


def _folded(label: str) -> str:
    return " ".join(label.casefold().replace("_", " ").replace("-", " ").split())


def _alone(groups: tuple[str, ...]) -> tuple[str, ...]:
    """A sample without a group is one of its own, not one with all others without."""
    return tuple(group or f"#{row}" for row, group in enumerate(groups))


def _decoded(path: Path, people: People | InputError) -> Photo:
    try:
        return Photo(path, load_image(path), people)
    except InputError as error:
        return Photo(path, error, people)


class _Verdict(NamedTuple):
    """Probabilities (C,), and of the largest person: how large, and how much of them is seen."""

    probabilities: NDArray[np.float32]
    people: int
    box_size: float
    visible_joints: int


def _verdicts(
    model: ActionModel, photo: Photo, persons: NDArray[np.float32] | None
) -> list[_Verdict] | InputError:
    """The photo's verdict, or one for each of the boxes (N, 4)."""
    image, people = photo.image, photo.people
    if isinstance(image, InputError):
        return image
    try:
        found = people(image) if callable(people) else people
    except InputError as error:
        return error
    if isinstance(found, InputError):
        return found
    if persons is None:
        probabilities = model(image, found.boxes, found.keypoints)[1]
        return [_Verdict(probabilities, *_facts(image, found.boxes, found.keypoints))]
    made = []
    for box in persons:
        overlap = _iou(box, found.boxes)
        best = int(overlap.argmax()) if len(overlap) else -1
        known = best >= 0 and bool(overlap[best] >= SAME_PERSON)
        boxes = found.boxes[[best]] if known else box[None]
        keypoints = found.keypoints[[best]] if known else np.zeros((1, 17, 3), np.float32)
        _, size, seen = _facts(image, boxes, keypoints)
        made.append(_Verdict(model(image, boxes, keypoints)[0][0], int(known), size, seen))
    return made


def _facts(
    image: NDArray[np.uint8], boxes: NDArray[np.float32], keypoints: NDArray[np.float32]
) -> tuple[int, float, int]:
    if len(boxes) == 0:
        return 0, 0.0, 0
    sides = boxes[:, 2:] - boxes[:, :2]
    first = int(sides.prod(1).argmax())
    size = float(np.sqrt(sides[first].prod() / (image.shape[0] * image.shape[1])))
    return len(boxes), size, int((keypoints[first, :, 2] >= SEEN).sum())


def _iou(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) intersection over union of one box with N."""
    one, many = box.astype(np.float64), boxes.astype(np.float64).reshape(-1, 4)
    sides = np.minimum(one[2:], many[:, 2:]) - np.maximum(one[:2], many[:, :2])
    common = sides.clip(0).prod(1)
    areas = (one[2:] - one[:2]).prod() + (many[:, 2:] - many[:, :2]).prod(1)
    return np.asarray(common / np.maximum(areas - common, 1e-9), np.float64)
