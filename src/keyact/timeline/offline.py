"""A whole track at once: what `keyact.timeline.live` gives bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyact.sequences.glances import Glances
from keyact.timeline.evidence import Evidence
from keyact.timeline.result import Segment
from keyact.timeline.segments import Hysteresis, Run, Segmenter

SHORTEST = 0.5
"""Seconds that somebody must be seen for the sequence network to be asked."""
LEAST_RATE = 3.0
"""Looks at a person per second of a window, without which the sequence network is not asked: fewer
show poses, not how somebody moves, and it would be sure of something all the same."""
_EPSILON = 1e-6


@dataclass(frozen=True)
class Window:
    """Seconds ``start`` to ``stop`` of a track, and the cells that its verdict is about."""

    start: float
    stop: float
    first: int
    last: int


def full_window(evidence: Evidence, begin: float, number: int) -> Window:
    """The window that starts with the cell of this number; ``begin`` is when cell 0 does."""
    start = begin + number * evidence.step
    assert evidence.sequence is not None
    return Window(start, start + evidence.sequence.window, number, number + evidence.cells - 1)


def last_window(evidence: Evidence, begin: float, end: float, covered: int) -> Window | None:
    """The window that ends with the track, when the full ones leave a part of it out.

    A track shorter than a window is stretched to one: networks are trained on whole clips, long
    and short.

    Parameters
    ----------
    begin, end : of the track, in seconds.
    covered : cells that full windows cover.
    """
    assert evidence.sequence is not None
    last = cell_of(evidence, begin, end)
    if end - begin < SHORTEST or covered > last:
        return None
    start = max(begin, end - evidence.sequence.window)
    return Window(start, end, cell_of(evidence, begin, start), last)


def cell_of(evidence: Evidence, begin: float, seconds: float) -> int:
    """Number of the cell at a time; the end of a cell is the start of the next."""
    return int((seconds - begin) / evidence.step + _EPSILON)


def enough(seconds: NDArray[np.float64], window: Window) -> bool:
    """Whether somebody who was looked at then (L,) was so often enough in a window."""
    inside = (seconds >= window.start - _EPSILON) & (seconds <= window.stop + _EPSILON)
    return int(inside.sum()) - 1 >= LEAST_RATE * (window.stop - window.start) - _EPSILON


def segment_of(
    evidence: Evidence, run: Run | None, begin: float, end: float, shortest: float
) -> Segment | None:
    """A run of cells in seconds of the video.

    None when there is no run, or when the track ended in its last cell, too soon for an action.
    """
    if run is None:
        return None
    start = begin + run.first * evidence.step
    stop = min(begin + (run.last + 1) * evidence.step, end)
    if stop - start < shortest - _EPSILON:
        return None
    label = evidence.labels[run.label]
    return Segment(start=start, end=stop, label=label, confidence=run.confidence)


def track_segments(
    evidence: Evidence,
    seconds: NDArray[np.float64],
    joints: NDArray[np.float32],
    photo: NDArray[np.float32],
    hysteresis: Hysteresis | None = None,
    glances: Glances | None = None,
) -> tuple[Segment, ...]:
    """What one person did when.

    Parameters
    ----------
    seconds : (L,) increasing times at which the person was seen.
    joints : (L, V, 3) then, as `keyact.action.temporal.SequenceModel.joints` gives them; not
        looked at without a sequence network.
    photo : (L, photo labels) verdicts on the frames, as `Evidence.photo_row` gives them.
    glances : at the person, in seconds, for a sequence network with eyes.
    """
    begin, end = float(seconds[0]), float(seconds[-1])
    cells = cell_of(evidence, begin, end) + 1
    window_total = np.zeros((cells, evidence.window_size), np.float32)
    window_count = np.zeros(cells, np.intp)
    if evidence.sequence is not None:
        planned = list(_windows(evidence, begin, end))
        inputs = [
            evidence.sequence.input(seconds, joints, w.start, w.stop, glances)
            if enough(seconds, w)
            else None
            for w in planned
        ]
        seen_in = [window for window, x in zip(planned, inputs, strict=True) if x is not None]
        if seen_in:
            verdicts = evidence.sequence(np.stack([x for x in inputs if x is not None]))
            for window, verdict in zip(seen_in, verdicts, strict=True):
                window_total[window.first : window.last + 1] += verdict
                window_count[window.first : window.last + 1] += 1
    numbers = np.array([cell_of(evidence, begin, time) for time in seconds.tolist()])
    segmenter = Segmenter(evidence.thresholds, evidence.step, hysteresis)
    runs = []
    for cell in range(cells):
        frames = photo[numbers == cell]
        moved = window_total[cell] / window_count[cell] if window_count[cell] else None
        seen = frames.mean(0) if len(frames) and photo.shape[1] else None
        looked = moved is not None or seen is not None
        runs.append(segmenter.push(evidence.combine(moved, seen) if looked else None))
    runs.append(segmenter.finish())
    found = (segment_of(evidence, run, begin, end, segmenter.rules.confirm) for run in runs)
    return tuple(segment for segment in found if segment is not None)


def _windows(evidence: Evidence, begin: float, end: float) -> Iterator[Window]:
    number = 0
    while (window := full_window(evidence, begin, number)).stop <= end + _EPSILON:
        yield window
        number += 1
    covered = number + evidence.cells - 1 if number else 0
    last = last_window(evidence, begin, end, covered)
    if last is not None:
        yield last
