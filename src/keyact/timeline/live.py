"""The timeline while the video runs: state per person, memory that does not grow.

A cell is settled once no window to come can cover it, which is one window's length after it; the
segments are the same as `keyact.timeline.offline.track_segments` finds in the whole track.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from keyact.results import FrameResult, Person
from keyact.sequences.glances import Glances
from keyact.timeline.evidence import Evidence
from keyact.timeline.offline import (
    _EPSILON,
    Window,
    cell_of,
    enough,
    full_window,
    last_window,
    segment_of,
)
from keyact.timeline.result import PersonTimeline, Segment, VideoTimeline
from keyact.timeline.segments import Hysteresis, Run, Segmenter

MAX_SAMPLES = 4096
"""Frames of one person that are held: more per window than any camera gives."""
MOMENT = 0.3
"""Seconds over which `TrackState.now` averages the verdicts on frames."""


class _Cell:
    """What was said about one cell so far."""

    def __init__(self, evidence: Evidence) -> None:
        self.window = np.zeros(evidence.window_size, np.float32)
        self.windows = 0
        self.photo = np.zeros(len(evidence.photo_labels), np.float32)
        self.frames = 0


class TrackState:
    """One person: the key points of the last window, and the cells that are not settled.

    Parameters
    ----------
    begin : seconds, when the person is first seen.
    """

    def __init__(self, evidence: Evidence, begin: float, hysteresis: Hysteresis | None) -> None:
        self._evidence = evidence
        self.begin = self.end = begin
        self._segmenter = Segmenter(evidence.thresholds, evidence.step, hysteresis)
        self._samples: deque[tuple[float, NDArray[np.float32]]] = deque(maxlen=MAX_SAMPLES)
        self._glances: deque[tuple[float, NDArray[np.float32]]] = deque(maxlen=MAX_SAMPLES)
        self._cells: dict[int, _Cell] = {}
        self._seen = False
        self._settled = 0  # cells that the segmenter has
        self._window = 0  # number of the next full window
        self._verdict: NDArray[np.float32] | None = None  # on the last window
        self._photo = np.zeros(len(evidence.photo_labels), np.float32)  # of the last `MOMENT`

    @property
    def label(self) -> str | None:
        """What the person does, as far as that is settled."""
        number = self._segmenter.label
        return None if number is None else self._evidence.labels[number]

    @property
    def now(self) -> NDArray[np.float32]:
        """(labels,) what speaks for each action at this moment, before anything is settled."""
        photo = self._photo if len(self._photo) and self._seen else None
        return self._evidence.combine(self._verdict, photo)

    @property
    def held(self) -> int:
        """Frames, glances and cells in memory."""
        return len(self._samples) + len(self._glances) + len(self._cells)

    @property
    def glanced(self) -> float | None:
        """Seconds of the last glance at the person."""
        return self._glances[-1][0] if self._glances else None

    def add(
        self,
        seconds: float,
        joints: NDArray[np.float32] | None,
        photo: NDArray[np.float32],
        glance: NDArray[np.float32] | None = None,
    ) -> list[Segment]:
        """The next frame of this person; gives the segments that are now over.

        Parameters
        ----------
        joints : (V, 3); None without a sequence network, and when they were not measured.
        photo : (photo labels,) verdict on the frame.
        glance : (D,) of `keyact.action.eyes`, when the person was looked at in this frame.
        """
        evidence = self._evidence
        if self._seen and seconds <= self.end:
            return []  # a broken clock: time does not stand still or run backwards
        weight = 1 - math.exp((self.end - seconds) / MOMENT) if self._seen else 1.0
        self._photo = np.asarray(self._photo + weight * (photo - self._photo), np.float32)
        self._seen = True
        self.end = seconds
        cell = self._cell(cell_of(evidence, self.begin, seconds))
        cell.photo += photo
        cell.frames += 1
        if evidence.sequence is not None:
            if joints is not None:
                self._samples.append((seconds, joints))
            if glance is not None:
                self._glances.append((seconds, glance))
            while (window := full_window(evidence, self.begin, self._window)).stop <= (
                seconds + _EPSILON
            ):
                self._run(window)
                self._window += 1
            oldest = self.begin + self._window * evidence.step
            # A window that ends with the track may begin before the next full one.
            oldest = min(oldest, seconds - evidence.sequence.window)
            while self._samples and self._samples[0][0] < oldest - 2 * _EPSILON:
                self._samples.popleft()
            # The last one stays: it says when the next is due.
            while len(self._glances) > 1 and self._glances[0][0] < oldest - 2 * _EPSILON:
                self._glances.popleft()
        return [*self._push_until(self._open())]

    def finish(self) -> list[Segment]:
        """The segments that were still open when the person was last seen."""
        evidence = self._evidence
        if evidence.sequence is not None:
            covered = self._window + evidence.cells - 1 if self._window else 0
            window = last_window(evidence, self.begin, self.end, covered)
            if window is not None:
                self._run(window)
        last = cell_of(evidence, self.begin, self.end)
        ended = [*self._push_until(last + 1)]
        open_still = self._segment(self._segmenter.finish())
        return ended if open_still is None else [*ended, open_still]

    def _run(self, window: Window) -> None:
        sequence = self._evidence.sequence
        assert sequence is not None
        times = np.array([time for time, _ in self._samples])
        self._verdict = None
        if not enough(times, window):
            return
        joints = np.stack([joints for _, joints in self._samples])
        glances = None
        if self._glances:
            at, seen = zip(*self._glances, strict=True)
            glances = Glances(np.array(at), np.stack(seen))
        x = sequence.input(times, joints, window.start, window.stop, glances)
        if x is None:
            return
        (verdict,) = sequence(x[None])
        self._verdict = verdict
        for number in range(max(window.first, self._settled), window.last + 1):
            cell = self._cell(number)
            cell.window += verdict
            cell.windows += 1

    def _open(self) -> int:
        """The first cell that a frame or a window to come may be about."""
        frame = cell_of(self._evidence, self.begin, self.end)
        if self._evidence.sequence is None:
            return frame
        # The window that ends with the track starts here, or later.
        start = max(self.begin, self.end - self._evidence.sequence.window)
        return min(frame, self._window, cell_of(self._evidence, self.begin, start))

    def _push_until(self, stop: int) -> Iterator[Segment]:
        evidence = self._evidence
        while self._settled < stop:
            cell = self._cells.pop(self._settled, None)
            moved = cell.window / cell.windows if cell and cell.windows else None
            seen = cell.photo / cell.frames if cell and cell.frames and len(cell.photo) else None
            looked = moved is not None or seen is not None
            run = self._segmenter.push(evidence.combine(moved, seen) if looked else None)
            self._settled += 1
            segment = self._segment(run)
            if segment is not None:
                yield segment

    def _segment(self, run: Run | None) -> Segment | None:
        shortest = self._segmenter.rules.confirm
        return segment_of(self._evidence, run, self.begin, self.end, shortest)

    def _cell(self, number: int) -> _Cell:
        return self._cells.setdefault(number, _Cell(self._evidence))


class LiveTimeline:
    """Everybody in a video, frame by frame.

    Parameters
    ----------
    evidence : the models, and what of them is believed.
    lost_seconds : after so long without a person their track is over.
    collect : keep all segments for `timeline`; without it only those people are held that are
        in the picture, and segments come from `push` and `finish` alone.
    """

    def __init__(
        self,
        evidence: Evidence,
        hysteresis: Hysteresis | None = None,
        lost_seconds: float = 2.0,
        collect: bool = True,
    ) -> None:
        self._evidence = evidence
        self._hysteresis = hysteresis
        self._lost = lost_seconds
        self._collect = collect
        self._tracks: dict[int, TrackState] = {}
        self._people: dict[int, tuple[float, float, list[Segment]]] = {}
        self._seconds = 0.0

    @property
    def held(self) -> int:
        """Frames and cells in memory."""
        return sum(track.held for track in self._tracks.values())

    def label(self, track_id: int) -> str | None:
        """What a person does now, as far as that is settled."""
        track = self._tracks.get(track_id)
        return None if track is None else track.label

    def now(self, track_id: int) -> dict[str, float]:
        """Probabilities of a person's actions at this moment; empty when nobody has the number."""
        track = self._tracks.get(track_id)
        return {} if track is None else dict(
            zip(self._evidence.labels, track.now.tolist(), strict=True)
        )  # fmt: skip

    def due(self, track_id: int, seconds: float) -> bool:
        """Whether a person is to be looked at in a frame that is about to be pushed."""
        sequence = self._evidence.sequence
        if sequence is None or sequence.eyes is None:
            return False
        track = self._tracks.get(track_id)
        return sequence.eyes.due(None if track is None else track.glanced, seconds)

    def push(
        self,
        result: FrameResult,
        seconds: float | None = None,
        glances: Mapping[int, NDArray[np.float32]] | None = None,
    ) -> list[tuple[int, Segment]]:
        """The next frame; gives the segments, with their person's number, that are now over.

        Parameters
        ----------
        result : its people numbered by `keyact.track.Follower`; those without a number are left
            out.
        seconds : since the video began; by default the result's own.
        glances : (D,) at those who were looked at in it, by number; see `due`.
        """
        if seconds is None:
            seconds = result.timestamp
        if seconds is None:
            raise ValueError(f"{result.source}: frame {result.index} has no time")
        self._seconds = max(self._seconds, seconds)
        ended = []
        for person in result.people:
            if person.track_id is not None:
                glance = None if glances is None else glances.get(person.track_id)
                ended += self._add(person, person.track_id, seconds, glance)
        for number in [n for n, t in self._tracks.items() if seconds - t.end > self._lost]:
            ended += self._finish(number)
        return ended

    def finish(self) -> list[tuple[int, Segment]]:
        """The video is over: the segments that were still open."""
        ended = []
        for number in list(self._tracks):
            ended += self._finish(number)
        return ended

    def timeline(self, source: str, models: tuple[str, ...]) -> VideoTimeline:
        """All that was found, after `finish`."""
        return VideoTimeline(
            source=source,
            seconds=self._seconds,
            models=models,
            people=tuple(
                PersonTimeline(track_id=number, start=start, end=end, segments=tuple(segments))
                for number, (start, end, segments) in sorted(self._people.items())
            ),
        )

    def _add(
        self, person: Person, number: int, seconds: float, glance: NDArray[np.float32] | None
    ) -> list[tuple[int, Segment]]:
        track = self._tracks.get(number)
        if track is None:
            track = self._tracks[number] = TrackState(self._evidence, seconds, self._hysteresis)
        sequence = self._evidence.sequence
        joints = None
        if sequence is not None and not person.pose_age:
            joints = sequence.joints(person.keypoints, person.layout)
        ended = track.add(seconds, joints, self._evidence.photo_row(person), glance)
        return self._keep(number, track, ended)

    def _finish(self, number: int) -> list[tuple[int, Segment]]:
        track = self._tracks.pop(number)
        return self._keep(number, track, track.finish())

    def _keep(
        self, number: int, track: TrackState, ended: list[Segment]
    ) -> list[tuple[int, Segment]]:
        if self._collect:
            start, _, segments = self._people.get(number, (track.begin, track.end, []))
            self._people[number] = (start, track.end, segments)
            segments += ended
        return [(number, segment) for segment in ended]
