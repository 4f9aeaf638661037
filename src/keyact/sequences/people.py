"""Frames with people in them, from AlphaPose's JSON or keyact's own results, joined into tracks.

Of keyact's results of several videos, the folders that these lie in name the actions, and
folders such as ``train`` above them the splits: ``keyact predict clips --json results.jsonl`` makes
a training set of a folder of folders.

Who is who in the next frame is what the file says: AlphaPose's ``idx``, keyact's ``track_id``;
people whom the tracker has not numbered are left out beside those whom it has. A file of people
without numbers becomes one person: in each frame the one seen most surely.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyact import formats
from keyact.errors import InputError
from keyact.layouts import get_layout
from keyact.results import MAX_JSON_BYTES, FrameResult, Person
from keyact.sequences.base import SPLITS, Options, SequenceFormat, checked, named, starts_with
from keyact.sequences.sequence import MAX_FRAMES, MAX_PEOPLE, MAX_VALUES, Sequence

_log = logging.getLogger("keyact")
_NUMBER = re.compile(r"(\d+)(?!.*\d)")  # the last digits of a frame's name


class _Seen(NamedTuple):
    """What is held of a person in a frame: a long video has more people than memory results."""

    track_id: int | None
    score: float
    layout: str
    keypoints: NDArray[np.float32]


@dataclass
class _Video:
    """The frames of a video by number, as they are read."""

    name: str
    frames: dict[int, list[_Seen]] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)
    size: tuple[int, int] | None = None

    def add(self, number: int, people: Iterable[Person]) -> None:
        self.frames.setdefault(number, []).extend(
            _Seen(one.track_id, one.score, one.layout, one.keypoints) for one in people
        )


def _read_alphapose(path: Path, options: Options) -> Iterator[Sequence]:
    given = formats.Options(layout=options.layout, report=options.report)
    name = path.stem
    if name == "alphapose-results":  # AlphaPose's own name: the folder says which video it is
        name = path.resolve().parent.name
    video = _Video(name)
    first = last = None
    for position, photo in enumerate(formats.read("alphapose", path, given)):
        digits = _NUMBER.search(PurePosixPath(photo.image).stem)
        number = int(digits[1]) if digits else position
        video.add(number, photo.people)
        first = number if first is None else min(first, number)
        last = number if last is None else max(last, number)
        if last - first >= MAX_FRAMES:  # now, and not when the file has been read to its end
            raise InputError(
                f"{name}: more than {MAX_FRAMES} frames, from number {first} to {last}"
            )
    yield named(_joined(video, options), options)


def _read_results(path: Path, options: Options) -> Iterator[Sequence]:
    videos: dict[str, _Video] = {}
    try:
        with checked(path).open("rb") as file:
            while line := file.readline(MAX_JSON_BYTES + 1):
                if not line.strip():
                    continue
                try:
                    result = FrameResult.from_json(line)
                except InputError as error:
                    options.report(f"{path}: {error}")
                    continue
                source = result.source
                video = videos.setdefault(source, _Video(Path(source).stem))
                if len(video.frames) > MAX_FRAMES:  # reported below; no more of it is held
                    continue
                video.add(result.index, result.people)
                video.size = (result.width, result.height)
                if result.timestamp is not None:
                    video.times[result.index] = result.timestamp
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    facts = _folders(list(videos))
    for source, video in videos.items():
        step = min((b - a for a, b in pairwise(sorted(video.frames))), default=1)
        video.frames = {number // step: people for number, people in video.frames.items()}
        try:
            one = replace(_joined(video, options), **facts.get(source, {}))  # type: ignore[arg-type]
            yield named(one, options)
        except InputError as error:
            options.report(f"{path}: {source}: {error}")


def _folders(sources: list[str]) -> dict[str, dict[str, str]]:
    """Label and split of each video by its folders, when the videos lie in different ones."""
    parts = {source: PurePosixPath(source.replace("\\", "/")).parts[:-1] for source in sources}
    if len(set(parts.values())) < 2:
        return {}
    found = {}
    for source, folders in parts.items():
        facts = {"label": folders[-1]} if folders else {}
        if len(folders) > 1 and folders[-2].lower() in SPLITS:
            facts["split"] = SPLITS[folders[-2].lower()]
        found[source] = facts
    return found


def _rate(video: _Video, options: Options) -> float | None:
    """Frames per second of the frames that were looked at."""
    times = [video.times[number] for number in sorted(video.times)]
    if options.fps is not None or len(times) < 2 or times[-1] <= times[0]:
        return options.fps
    return (len(times) - 1) / (times[-1] - times[0])


def _joined(video: _Video, options: Options) -> Sequence:
    layouts = Counter(person.layout for people in video.frames.values() for person in people)
    if not layouts:
        raise InputError(f"{video.name}: has no people in it")
    layout = layouts.most_common(1)[0][0]
    first = min(video.frames)
    length = max(video.frames) - first + 1
    if length > MAX_FRAMES:
        raise InputError(f"{video.name}: more than {MAX_FRAMES} frames")
    tracks: dict[int, dict[int, _Seen]] = {}
    tracked = _are_tracked(video)
    unnumbered = 0
    for number, people in sorted(video.frames.items()):
        for person in people:
            if person.layout != layout:
                continue
            if tracked and person.track_id is None:
                unnumbered += 1
                continue
            track = tracks.setdefault((person.track_id or 0) if tracked else 0, {})
            before = track.get(number - first)
            if before is None or person.score > before.score:
                track[number - first] = person
    if unnumbered:
        _log.warning(
            "%s: left out %d of %d people in single frames, whom the tracker gave no number",
            video.name, unnumbered, layouts.total(),
        )  # fmt: skip
    longest = sorted(tracks.values(), key=len, reverse=True)[:MAX_PEOPLE]
    shape = (len(longest), length, len(get_layout(layout)))
    if math.prod(shape) * 2 > MAX_VALUES:  # before memory is asked for
        raise InputError(f"{video.name}: more than {MAX_VALUES} numbers")
    points, scores = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
    mask = np.zeros(shape[:2], bool)
    for row, track in enumerate(longest):
        for number, person in track.items():
            points[row, number] = person.keypoints[:, :2]
            scores[row, number] = person.keypoints[:, 2]
            mask[row, number] = True
    fps = _rate(video, options)
    return Sequence(points, scores, mask, layout, fps=fps, name=video.name, size=video.size)


def _are_tracked(video: _Video) -> bool:
    """Whether numbers tell people apart; without tracking AlphaPose gives everyone 0."""
    numbered = False
    for people in video.frames.values():
        numbers = [person.track_id for person in people if person.track_id is not None]
        if len(set(numbers)) < len(numbers):
            return False
        numbered = numbered or bool(numbers)
    return numbered


ALPHAPOSE = SequenceFormat(
    name="alphapose",
    summary="AlphaPose's JSON of a video, people numbered by idx",
    suffixes=(".json",),
    sniff=lambda path: starts_with(path, b"[", b"{"),
    read=_read_alphapose,
)

RESULTS = SequenceFormat(
    name="keyact",
    summary="keyact's own results of videos: JSON Lines",
    suffixes=(".jsonl", ".json"),
    sniff=lambda path: starts_with(path, b'{"schema_version"'),
    read=_read_results,
)
