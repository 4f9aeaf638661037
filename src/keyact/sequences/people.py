"""Frames with people in them, from AlphaPose's JSON or keyact's own results, joined into tracks.

Of keyact's results of several videos, the folders that these lie in name the actions, and
folders such as ``train`` above them the splits: ``keyact predict clips --json results.jsonl`` makes
a training set of a folder of folders.

Who is who in the next frame is what the file says: AlphaPose's ``idx``, keyact's ``track_id``. A
file of people without numbers becomes one person: in each frame the one seen most surely.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from keyact import formats
from keyact.errors import InputError
from keyact.results import MAX_JSON_BYTES, FrameResult, Person
from keyact.sequences.base import SPLITS, Options, SequenceFormat, checked, named, starts_with
from keyact.sequences.sequence import MAX_FRAMES, MAX_PEOPLE, Sequence

_NUMBER = re.compile(r"(\d+)(?!.*\d)")  # the last digits of a frame's name


@dataclass(frozen=True)
class _Frame:
    number: int
    people: tuple[Person, ...]


def _read_alphapose(path: Path, options: Options) -> Iterator[Sequence]:
    given = formats.Options(layout=options.layout, report=options.report)
    frames: dict[int, tuple[Person, ...]] = {}
    for position, photo in enumerate(formats.read("alphapose", path, given)):
        digits = _NUMBER.search(PurePosixPath(photo.image).stem)
        number = int(digits[1]) if digits else position
        frames[number] = frames.get(number, ()) + photo.people
    listed = [_Frame(number, people) for number, people in sorted(frames.items())]
    name = path.stem
    if name == "alphapose-results":  # AlphaPose's own name: the folder says which video it is
        name = path.resolve().parent.name
    yield named(_joined(listed, name, options.fps, None), options)


def _read_results(path: Path, options: Options) -> Iterator[Sequence]:
    videos: dict[str, list[FrameResult]] = {}
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
                videos.setdefault(result.source, []).append(result)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    facts = _folders(list(videos))
    for source, results in videos.items():
        results.sort(key=lambda result: result.index)
        step = min((b.index - a.index for a, b in pairwise(results)), default=1)
        frames = [_Frame(result.index // max(step, 1), result.people) for result in results]
        size = (results[0].width, results[0].height)
        try:
            one = _joined(frames, Path(source).stem, _rate(results, options), size)
            yield named(replace(one, **facts.get(source, {})), options)  # type: ignore[arg-type]
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


def _rate(results: list[FrameResult], options: Options) -> float | None:
    """Frames per second of the frames that were looked at."""
    times = [result.timestamp for result in results if result.timestamp is not None]
    if options.fps is not None or len(times) < 2 or times[-1] <= times[0]:
        return options.fps
    return (len(times) - 1) / (times[-1] - times[0])


def _joined(
    frames: Iterable[_Frame], name: str, fps: float | None, size: tuple[int, int] | None
) -> Sequence:
    listed = list(frames)
    layouts = Counter(person.layout for frame in listed for person in frame.people)
    if not layouts:
        raise InputError(f"{name}: has no people in it")
    layout = layouts.most_common(1)[0][0]
    first = min(frame.number for frame in listed)
    length = max(frame.number for frame in listed) - first + 1
    if length > MAX_FRAMES:
        raise InputError(f"{name}: more than {MAX_FRAMES} frames")
    tracks: dict[int, dict[int, Person]] = {}
    tracked = _are_tracked(listed)
    for frame in listed:
        for person in frame.people:
            if person.layout != layout:
                continue
            track = tracks.setdefault((person.track_id or 0) if tracked else 0, {})
            before = track.get(frame.number - first)
            if before is None or person.score > before.score:
                track[frame.number - first] = person
    longest = sorted(tracks.values(), key=len, reverse=True)[:MAX_PEOPLE]
    joints = len(next(iter(longest[0].values())).keypoints)
    points = np.zeros((len(longest), length, joints, 3), np.float32)
    for row, track in enumerate(longest):
        for number, person in track.items():
            points[row, number] = person.keypoints
    mask = np.array([[number in track for number in range(length)] for track in longest])
    return Sequence(
        points[..., :2], points[..., 2], mask, layout, fps=fps, name=name, size=size
    )  # fmt: skip


def _are_tracked(frames: list[_Frame]) -> bool:
    """Whether numbers tell people apart; without tracking AlphaPose gives everyone 0."""
    for frame in frames:
        numbers = [person.track_id for person in frame.people]
        if None in numbers or len(set(numbers)) < len(numbers):
            return False
    return True


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
