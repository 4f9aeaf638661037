"""Settings that the recordings themselves tell: people, view, and whether left and right matter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keyact.errors import KeyactError
from keyact.sequences import Augment, Features, Preprocess, skeleton_of
from keyact.sequences import Sequence as Recording
from keyact.sequences.augment import flip
from keyact.train.sequence_data import ClipSet
from keyact.train.sequence_settings import SequenceSettings

FPS = 30.0  # of recordings that do not say
TURNED = 0.9  # mean direction of unit vectors: below, people face different ways
ALIKE = 0.75  # of the accuracy on recordings, what mirrored ones must reach
SECOND = 0.1  # share of recordings in which a second person counts
FRAMES = 12  # of the mirror test


def features_of(
    recordings: Sequence[Recording],
    settings: SequenceSettings,
    streams: Sequence[str],
    glances: int = 0,
) -> Features:
    """What a network is to see.

    Parameters
    ----------
    glances : numbers of a glance, for a network that looks at the pictures too.

    Raises
    ------
    InputError : recordings of different skeletons.
    KeyactError : some in 2D and some in 3D.
    """
    skeleton = skeleton_of(recordings)
    dims = {recording.dims for recording in recordings}
    if len(dims) != 1:
        raise KeyactError("some recordings are in 2D and some in 3D; train on one kind")
    (coordinates,) = dims
    seconds = [len(r) / (r.fps or FPS) for r in recordings]
    scale = settings.scale
    if scale == "auto":
        scale = "torso" if coordinates == 3 and skeleton.top else "body"
    view = settings.view
    if view is None:
        view = coordinates == 3 and facing(recordings) < TURNED
    return Features(
        skeleton,
        coordinates,
        settings.frames,
        tuple(settings.streams or streams),
        Preprocess(smooth=settings.smooth, centre=settings.centre, scale=scale, view=view),
        settings.people or people_of(recordings),
        settings.frames / float(np.median(seconds)),
        glances,
    )


def people_of(recordings: Sequence[Recording]) -> int:
    """2 where a second person is there for half the time in enough recordings, 1 otherwise."""
    second = [
        bool(np.sort((r.scores > 0).any(2).sum(1))[-2] > len(r) / 2) if r.people > 1 else False
        for r in recordings
    ]
    return 2 if np.mean(second) > SECOND else 1


def facing(recordings: Sequence[Recording]) -> float:
    """How alike people stand: the length of the mean direction, seen from above, of 3D shoulders
    and hips; 1 when they all face the same way or their sides are not known."""
    skeleton = skeleton_of(recordings)
    if not skeleton.sides or recordings[0].dims != 3:
        return 1.0
    left, right = (list(side) for side in zip(*skeleton.sides, strict=True))
    directions = []
    for recording in recordings:
        points = recording.best(1).keypoints[0]
        wide = (points[:, right] - points[:, left]).mean((0, 1))[[0, 2]]
        length = float(np.linalg.norm(wide))
        if length > 1e-6:
            directions.append(wide / length)
    return float(np.linalg.norm(np.mean(directions, 0))) if directions else 1.0


def augment_of(settings: SequenceSettings, dims: int, mirror: bool) -> Augment:
    """Changes in training."""
    share = settings.flip if settings.flip is not None else 0.5 * mirror
    rotate = settings.rotate if settings.rotate is not None else (30.0 if dims == 3 else 15.0)
    return Augment(
        flip=share,
        rotate=rotate,
        tilt=settings.tilt,
        scale=settings.stretch,
        shear=settings.shear,
        jitter=settings.jitter,
        joint_drop=settings.joint_drop,
        frame_drop=settings.frame_drop,
        crop=settings.crop,
        speed=settings.speed,
    )


def left_is_right(train: ClipSet, val: ClipSet, seed: int = 0) -> bool:
    """Whether an action and its mirror image are one action in these recordings.

    Trees that learnt the recordings of ``train`` are asked about those of ``val`` and about their
    mirror images. Where people use either hand they know them nearly as well; where everyone
    uses the right one, or left and right make the action, they do not.
    """
    skeleton = train.features.skeleton
    if skeleton.flip is None:
        return False
    from sklearn.ensemble import ExtraTreesClassifier

    def rows(clips: ClipSet, mirrored: bool) -> NDArray[np.float32]:
        made = []
        for points, scores in zip(clips.points, clips.scores, strict=True):
            at = np.linspace(0, points.shape[1] - 1, FRAMES).round().astype(int)
            some, sure = clips.features.place(points[:, at]), scores[:, at]
            if mirrored:
                some, sure = flip(some, sure, skeleton)
            moves = np.diff(some, axis=1)
            made.append(np.concatenate([some.ravel(), moves.ravel()]))
        return np.asarray(made, np.float32)

    trees = ExtraTreesClassifier(100, max_features="sqrt", random_state=seed, n_jobs=1)
    trees.fit(rows(train, False), train.labels)
    straight, mirrored = (trees.score(rows(val, side), val.labels) for side in (False, True))
    return bool(mirrored >= ALIKE * straight)
