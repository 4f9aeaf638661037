"""Follow the people of video clips, once: boxes and key points from the cache, or the networks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from keyact.data.features import FeatureCache
from keyact.data.people import JOINTS, MAX_PEOPLE, file_hash, model_identity
from keyact.data.progress import Progress, track
from keyact.data.store import Arrays
from keyact.errors import InputError
from keyact.layouts import convert
from keyact.media import iter_frames
from keyact.media.probe import probe_video
from keyact.sequences.sequence import MAX_FRAMES
from keyact.sequences.sequence import Sequence as Recording
from keyact.track import ByteTrack, Follower

if TYPE_CHECKING:
    from keyact.recognizer import Recognizer

LOOKED_AT = 15.0
"""Frames per second that are looked at, about, when it is not said."""
BATCH = 4
"""Clips between two writes of the cache: what a killed run does again."""

_VERSION = 1  # of what lies between the networks: raise it when the same files give other tracks


@dataclass(frozen=True, eq=False)
class Tracks:
    """Who is where in a clip: P rows, one for each person in each frame, in the frames' order.

    Attributes
    ----------
    times : (F,) seconds of the frames that were looked at.
    frames : (P,) which of these.
    numbers : (P,) of the person.
    boxes : (P, 4) float32 xyxy in pixels.
    keypoints : (P, 17, 3) float32 steady key points: x, y in pixels and score, layout coco17.
    size : width and height of the frames in pixels.
    every : of the clip's frames every so manieth was looked at.
    fps : frames per second of what was looked at.
    """

    times: NDArray[np.float64]
    frames: NDArray[np.int32]
    numbers: NDArray[np.int32]
    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    size: tuple[int, int]
    every: int
    fps: float

    def rows(self, number: int) -> NDArray[np.intp]:
        """(L,) the rows of a person."""
        return np.flatnonzero(self.numbers == number)

    def most_present(self) -> list[int]:
        """Numbers of the people, the most present first: how often, surely and large seen."""
        sides = (self.boxes[:, 2:] - self.boxes[:, :2]).clip(0)
        weight = self.keypoints[..., 2].mean(1) * np.sqrt(sides.prod(1))
        present = {int(n): float(weight[self.rows(n)].sum()) for n in np.unique(self.numbers)}
        return sorted(present, key=lambda number: (-present[number], number))

    def recording(self, people: int = 1, **facts: Any) -> Recording:
        """The key points of the most present people, from the first of them to the last.

        Parameters
        ----------
        facts : label, name and so on; see `keyact.sequences.Sequence`.

        Raises
        ------
        InputError : nobody is seen.
        """
        chosen = self.most_present()[:people]
        if not chosen:
            raise InputError(f"{facts.get('name', 'clip')}: nobody is seen in it")
        first, length = self.span(people)
        points = np.zeros((len(chosen), length, JOINTS, 3), np.float32)
        mask = np.zeros((len(chosen), length), bool)
        for place, number in enumerate(chosen):
            rows = self.rows(number)
            points[place, self.frames[rows] - first] = self.keypoints[rows]
            mask[place, self.frames[rows] - first] = True
        scores = points[..., 2].clip(0, 1)
        return Recording(
            points[..., :2], scores, mask, "coco17", fps=self.fps, size=self.size, **facts
        )

    def span(self, people: int = 1) -> tuple[int, int]:
        """First frame of `recording`, and its length."""
        frames = self.frames[np.isin(self.numbers, self.most_present()[:people])]
        return int(frames.min()), int(np.ptp(frames)) + 1


def find_tracks(
    paths: Sequence[str | Path],
    *,
    detector: str = "persondet-m",
    pose: str = "fastpose-m",
    every: int | None = None,
    cache: str | Path | Literal[False] | None = None,
    jobs: int | None = None,
    progress: bool | Progress = False,
) -> Iterator[tuple[Path, Tracks | InputError]]:
    """Who is where in each clip, in order: as `keyact.video.VideoRecognizer` follows people.

    What was found is kept by the clip's content, the hashes of the networks and ``every``. A killed
    run goes on where it was, at most `BATCH` clips before its end.

    Parameters
    ----------
    paths : video files.
    detector, pose : as `keyact.detect.load` and `keyact.pose.load` take them.
    every : look at every N-th frame; None looks at about `LOOKED_AT` a second.
    cache : folder; None takes `keyact.data.store.cache_dir`, False keeps nothing.
    jobs : clips at once, in threads of this process; one per core when not given.
    progress : True shows a bar with the time left on stderr, if that is a terminal; a function is
        told how many are done, of how many.

    Yields
    ------
    the path as given, and its people; or why the clip, or a part of it, cannot be read.

    Raises
    ------
    UnknownNameError, WeightsError : no such network.
    """
    files = [Path(path) for path in paths]
    jobs = jobs or os.cpu_count() or 1
    finder = _Finder(detector, pose, every, 1 if jobs > 1 else None)
    features = FeatureCache("tracks", finder.settings, cache=cache, batch=BATCH)
    with ThreadPoolExecutor(jobs, "keyact-tracks") as pool:

        def compute(chosen: Sequence[int]) -> list[Arrays | InputError]:
            finder.load()
            return list(pool.map(finder, [files[i] for i in chosen]))

        found = features.map(map(clip_key, files), compute)
        for path, arrays in track(
            zip(files, found, strict=True), len(files), "following people", progress
        ):
            yield path, arrays if isinstance(arrays, InputError) else _tracks(arrays)


def clip_key(path: Path) -> str | InputError:
    """The hash of a clip's content, or why it cannot be read."""
    try:
        return file_hash(path)
    except InputError as error:
        return error


class _Finder:
    """Detector and pose backend, loaded on first use, and all that their answer depends on."""

    def __init__(self, detector: str, pose: str, every: int | None, threads: int | None) -> None:
        if every is not None and every < 1:
            raise InputError(f"every is at least 1, not {every}")
        self.settings = {
            "version": _VERSION,
            "detector": model_identity("detector", detector),
            "pose": model_identity("pose", pose),
            "every": every or f"{LOOKED_AT:g} a second",
            "max_people": MAX_PEOPLE,
        }
        self._every = every
        self._chosen = (detector, pose, threads)
        self._recognizer: Recognizer | None = None

    def load(self) -> None:
        if self._recognizer is None:
            from keyact.action.nothing import NoActions
            from keyact.recognizer import Recognizer

            detector, pose, threads = self._chosen
            self._recognizer = Recognizer(
                NoActions(), pose, detector, threads=threads, max_people=MAX_PEOPLE
            ).warm_up()

    def __call__(self, path: Path) -> Arrays | InputError:
        assert self._recognizer is not None
        rate = probe_video(path).rate
        every = self._every or max(1, round(rate / LOOKED_AT))
        follow = Follower(ByteTrack(rate / every), fps=rate / every)
        times, people = [], []
        size = (0, 0)
        try:
            for number, (index, seconds, image) in enumerate(iter_frames(path, every)):
                if number == MAX_FRAMES:
                    raise InputError(f"{path}: more than {MAX_FRAMES} frames; cut it into clips")
                result = self._recognizer(image, source=str(path), index=index, timestamp=seconds)
                followed = follow(result)
                times.append(seconds)
                size = (result.width, result.height)
                people += [(number, p) for p in followed.people if p.track_id is not None]
        except InputError as error:
            return error
        points = [convert(person.keypoints, person.layout, "coco17") for _, person in people]
        return {
            "times": np.array(times, np.float64),
            "frames": np.array([number for number, _ in people], np.int32),
            "numbers": np.array([person.track_id for _, person in people], np.int32),
            "boxes": np.array([p.box for _, p in people], np.float32).reshape(-1, 4),
            "keypoints": np.array(points, np.float32).reshape(-1, JOINTS, 3),
            "clip": np.array([*size, every, rate / every], np.float64),
        }


def _tracks(arrays: Arrays) -> Tracks:
    width, height, every, fps = arrays["clip"].tolist()
    return Tracks(
        arrays["times"],
        arrays["frames"],
        arrays["numbers"],
        arrays["boxes"],
        arrays["keypoints"],
        (int(width), int(height)),
        int(every),
        fps,
    )
