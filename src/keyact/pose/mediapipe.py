"""MediaPipe's PoseLandmarker (BlazePose; Google): ``"mediapipe:FILE.task"``, extra ``mediapipe``.

The task finds people by itself. Here it is given one square crop per box, so that it keeps to the
contract of a top-down network and works for any number of people; of several poses in a crop the
one that lies in the box best is the person's. A person whom the task does not see has score 0.

Joint scores are MediaPipe's visibilities. The number of threads is MediaPipe's own choice.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.backends import optional_import, without_native_chatter
from keyact.errors import InputError, UnknownNameError, WeightsError
from keyact.layouts import get_layout
from keyact.pose.crop import crop_people, crop_transforms, to_photo
from keyact.pose.flip import average_mirrored
from keyact.weights import read_model_file

CROP = 384
"""Side in pixels of the square crops. The networks inside look at 224 (where a person is) and
256 pixels (the person); a fixed size also keeps MediaPipe from long photos, which end the
process (a side of 32767 pixels in release 1.2)."""
MARGIN = 1.5
"""Side of the crop over the longer side of the box. Wider than for other networks, because the
task's own detector wants to see some of what is round a person; wider still brings in others.
Chosen, as the two below, on validation photos with MoveNet's key points."""
MIN_DETECTION = MIN_PRESENCE = 0.1
"""The task's own are 0.5, but here a detector has said already that there is someone."""
POSES = 3
"""Poses looked for in a crop: the person and whoever stands close."""

_JOINTS = 33

_open: weakref.WeakSet[MediaPipe] = weakref.WeakSet()


@atexit.register
def _let_go() -> None:
    """Keep MediaPipe's finalizers quiet when Python ends.

    They would run when the threads are gone that they need, and print a traceback. The memory
    goes with the process.
    """
    for backend in list(_open):
        backend._landmarker._handle = None


def _shut(landmarker: Any) -> None:
    with without_native_chatter(), contextlib.suppress(Exception):
        landmarker.close()


class MediaPipe:
    """See `keyact.pose.base.PoseEstimator`.

    Parameters
    ----------
    task : contents of a ``.task`` file.
    source : what to call it in errors.
    flip_test : average with the pose in the mirrored crop: slower by the factor two.

    Raises
    ------
    KeyactError : the package is missing.
    WeightsError : not a pose landmarker.
    """

    name = "mediapipe"
    layout = "blazepose33"
    ignores = ("threads",)
    """Options of `keyact.pose.load` that change nothing here."""

    def __init__(self, task: bytes, source: str, *, flip_test: bool = False) -> None:
        with without_native_chatter():
            self._mediapipe: Any = optional_import("mediapipe", "mediapipe")
            tasks = optional_import("mediapipe.tasks.python", "mediapipe")
        self.flip_test = flip_test
        self._source = source
        self._flip = get_layout(self.layout).flip
        self._lock = threading.Lock()
        options = tasks.vision.PoseLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_buffer=task),
            num_poses=POSES,
            min_pose_detection_confidence=MIN_DETECTION,
            min_pose_presence_confidence=MIN_PRESENCE,
        )
        try:
            with without_native_chatter():
                self._landmarker = tasks.vision.PoseLandmarker.create_from_options(options)
        except (ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise WeightsError(f"{source}: not a pose landmarker task: {reason}") from error
        self._finalizer = weakref.finalize(self, _shut, self._landmarker)
        self._finalizer.atexit = False  # see `_let_go`
        self._silent = True
        _open.add(self)

    def close(self) -> None:
        """Give the networks' memory back; the backend cannot be used any more."""
        self._finalizer()

    def __call__(self, image: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.float32]:
        transforms = crop_transforms(boxes, (CROP, CROP), MARGIN)
        sides = np.asarray(boxes, np.float64).reshape(-1, 4)
        sides = (sides[:, 2:] - sides[:, :2]) * transforms[:, :1]
        poses = np.zeros((len(transforms), _JOINTS, 3), np.float32)
        for pose, transform, side in zip(poses, transforms, sides, strict=True):
            crop = crop_people(image, transform[None], (CROP, CROP))[0, ..., ::-1]
            points = self._in_crop(crop, side)
            if points is not None:
                pose[:, :2] = to_photo(points[None, :, :2], transform[None])[0]
                pose[:, 2] = points[:, 2].clip(0, 1)
        return poses

    def _in_crop(
        self, crop: NDArray[np.uint8], side: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """(33, 3) in pixels of an RGB crop with a box of these sides in its middle, or None."""
        straight = _nearest(self._run(crop), side)
        if not self.flip_test:
            return straight
        mirrored = _nearest(self._run(crop[:, ::-1]), side)
        nothing = np.zeros((_JOINTS, 3))
        if straight is None and mirrored is None:
            return None
        return average_mirrored(
            nothing if straight is None else straight,
            nothing if mirrored is None else mirrored,
            self._flip,
            CROP,
        )

    def _run(self, crop: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(P, 33, 3) in pixels of an RGB crop; P may be 0."""
        picture = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(crop)
        )
        # The second network prepares itself, with remarks, when the first pose has been found.
        quiet = without_native_chatter() if self._silent else contextlib.nullcontext()
        with self._lock, quiet:
            found = self._landmarker.detect(picture).pose_landmarks
            self._silent = self._silent and not found
        rows = [[(one.x, one.y, one.visibility or 0.0) for one in pose] for pose in found]
        if any(len(pose) != _JOINTS for pose in rows):
            raise WeightsError(f"{self._source}: gives other than {_JOINTS} landmarks")
        points = np.nan_to_num(np.array(rows, np.float64).reshape(-1, _JOINTS, 3))
        points[..., :2] = points[..., :2] * CROP - 0.5  # pixel centres are integers
        return points


def _nearest(poses: NDArray[np.float64], side: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Of poses (P, 33, 3) the one whose extent overlaps the middle box best; None of none."""
    if not len(poses):
        return None
    middle = (CROP - 1) / 2
    start, end = poses[..., :2].min(1), poses[..., :2].max(1)
    common = np.minimum(end, middle + side / 2) - np.maximum(start, middle - side / 2)
    shared = common.clip(0).prod(1)
    union = (end - start).prod(1) + side.prod() - shared
    return np.asarray(poses[int(np.argmax(shared / np.maximum(union, 1e-9)))], np.float64)


def load(
    source: str | None,
    *,
    threads: int | None = None,
    flip_test: bool = False,
    decode: str | None = None,
) -> MediaPipe:
    """The backend of a task file; ``threads`` changes nothing.

    Raises
    ------
    InputError : no file was named.
    UnknownNameError : a decode method: the networks give coordinates.
    WeightsError, KeyactError : see `MediaPipe`.
    """
    if source is None:
        raise InputError(
            "mediapipe needs a pose landmarker: type mediapipe:FILE.task, downloaded from "
            "https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker"
        )
    if decode is not None:
        raise UnknownNameError("decode method of mediapipe", decode, ())
    task = read_model_file(Path(source).expanduser())
    return MediaPipe(task, source, flip_test=flip_test)
