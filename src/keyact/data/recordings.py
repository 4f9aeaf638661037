"""Labelled video clips as key point sequences: what ``keyact train`` and ``evaluate`` read.

A clip becomes one recording, of its most present person. For a network that looks at the pictures
too (`keyact.action.eyes`), the recording also holds what was seen of that person.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from keyact.action.eyes import OUTPUT, Eyes
from keyact.data.base import Dataset, Sample
from keyact.data.features import FeatureCache
from keyact.data.progress import Progress, track
from keyact.data.store import Arrays, content_hash
from keyact.data.tracks import BATCH, Tracks, clip_key, find_tracks
from keyact.errors import InputError, KeyactError
from keyact.media import iter_frames
from keyact.sequences.glances import Glances
from keyact.sequences.sequence import Sequence as Recording

Report = Callable[[str, InputError], None]

_VERSION = 1  # of what lies between clip and glance


def load_recordings(
    dataset: Dataset,
    *,
    detector: str = "persondet-m",
    pose: str = "fastpose-m",
    every: int | None = None,
    people: int = 1,
    eyes: Eyes | None = None,
    cache: str | Path | Literal[False] | None = None,
    jobs: int | None = None,
    on_error: Report | None = None,
    progress: bool | Progress = False,
) -> list[Recording]:
    """The clips of a data set, in order, with the labels, splits and groups that they have there.

    Parameters
    ----------
    dataset : of videos.
    detector, pose, every, cache, jobs, progress : see `keyact.data.tracks.find_tracks`.
    people : of each clip, the most present first.
    eyes : what looks at the most present person, `Eyes.every` so many seconds; kept in the cache.
    on_error : told of a clip that cannot be read or has nobody in it, which is then left out;
        by default that is an error.

    Raises
    ------
    KeyactError : the data set holds photos, no clip is left, or glances at several people.
    InputError : a clip cannot be used, without ``on_error``.
    """
    if dataset.kind != "videos":
        raise KeyactError(f"{dataset.name}: holds {dataset.kind}, not video clips")
    if eyes is not None and people > 1:
        raise KeyactError(f"a network that looks at the pictures sees one person, not {people}")
    found: list[tuple[Sample, Tracks, Recording]] = []

    def refuse(source: str, error: InputError) -> None:
        if on_error is None:
            raise error
        on_error(source, error)

    tracks = find_tracks(
        [sample.path for sample in dataset.samples],
        detector=detector, pose=pose, every=every, cache=cache, jobs=jobs, progress=progress,
    )  # fmt: skip
    for sample, (path, people_in) in zip(dataset.samples, tracks, strict=True):
        try:
            if isinstance(people_in, InputError):
                raise people_in
            recording = people_in.recording(people, **_facts(dataset, sample))
        except InputError as error:
            refuse(str(path), error)
        else:
            found.append((sample, people_in, recording))
    if eyes is None:
        recordings = [recording for *_, recording in found]
    else:
        recordings = []
        seen = _glances(eyes, [(s.path, t) for s, t, _ in found], cache, jobs, progress)
        for (sample, _, recording), glances in zip(found, seen, strict=True):
            if isinstance(glances, InputError):
                refuse(str(sample.path), glances)
            else:
                recordings.append(replace(recording, glances=glances))
    if not recordings:
        raise KeyactError(f"{dataset.name}: no clip could be used")
    return recordings


def _facts(dataset: Dataset, sample: Sample) -> dict[str, str | None]:
    inside = sample.path.is_relative_to(dataset.root)
    name = sample.path.relative_to(dataset.root).as_posix() if inside else str(sample.path)
    return {"label": sample.label, "split": sample.split, "group": sample.group, "name": name}


def _glances(
    eyes: Eyes,
    clips: Sequence[tuple[Path, Tracks]],
    cache: str | Path | Literal[False] | None,
    jobs: int | None,
    progress: bool | Progress,
) -> list[Glances | InputError]:
    """At the most present person of each clip, at frame numbers of its recording."""
    rows = []
    for _, tracks in clips:
        mine = tracks.rows(tracks.most_present()[0])
        rows.append(mine[eyes.moments(tracks.times[tracks.frames[mine]])])
    store = FeatureCache(
        "glances", {"version": _VERSION, **eyes.about}, cache=cache, batch=BATCH, dtype=np.float16
    )

    def key(place: int) -> str | InputError:
        (path, tracks), mine = clips[place], rows[place]
        content = clip_key(path)
        if isinstance(content, InputError):
            return content
        who = (tracks.frames[mine] * tracks.every, tracks.boxes[mine], tracks.keypoints[mine])
        return content_hash(b"".join([content.encode(), *(array.tobytes() for array in who)]))

    def look(place: int) -> Arrays | InputError:
        (path, tracks), mine = clips[place], rows[place]
        wanted = dict(zip(tracks.frames[mine].tolist(), mine.tolist(), strict=True))
        seen = []
        try:
            for number, (*_, image) in enumerate(iter_frames(path, tracks.every, max(wanted) + 1)):
                if number in wanted:
                    row = slice(wanted[number], wanted[number] + 1)
                    seen.append(eyes(image, tracks.boxes[row], tracks.keypoints[row]))
        except InputError as error:
            return error
        return {OUTPUT: np.concatenate(seen)}

    with ThreadPoolExecutor(jobs or os.cpu_count() or 1, "keyact-glances") as pool:
        found = store.map(map(key, range(len(clips))), lambda chosen: list(pool.map(look, chosen)))
        glances: list[Glances | InputError] = []
        for place, arrays in enumerate(track(found, len(clips), "looking at people", progress)):
            if isinstance(arrays, InputError):
                glances.append(arrays)
                continue
            tracks = clips[place][1]
            at = tracks.frames[rows[place]] - tracks.span()[0]
            glances.append(Glances(at.astype(np.float64), arrays[OUTPUT]))
    return glances
