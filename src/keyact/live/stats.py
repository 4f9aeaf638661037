"""How fast a live run is, and how far behind: memory that does not grow."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass

import numpy as np

from keyact.live.capture import State
from keyact.live.source import Kind

WINDOW = 5000
"""Frames, the latest, over which percentiles are taken."""
RECENT = 30
"""Frames, the latest, over which the present rate is taken."""


class Meter:
    """Times of the frames of one source."""

    def __init__(self) -> None:
        self.frames = 0
        self._lags: deque[float] = deque(maxlen=WINDOW)
        self._times: deque[float] = deque(maxlen=RECENT)
        self._first: float | None = None

    def add(self, now: float, lag: float) -> None:
        """A frame is done.

        Parameters
        ----------
        now : seconds, by a clock that only goes forward.
        lag : seconds since it was decoded.
        """
        self.frames += 1
        self._first = now if self._first is None else self._first
        self._lags.append(lag)
        self._times.append(now)

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return 0.0 if self._first is None else self._times[-1] - self._first

    @property
    def fps(self) -> float:
        """Frames per second of late; 0 before the second frame."""
        span = self._times[-1] - self._times[0] if self._times else 0.0
        return (len(self._times) - 1) / span if span > 0 else 0.0

    @property
    def mean_fps(self) -> float:
        """Frames per second of the whole run."""
        return (self.frames - 1) / self.seconds if self.seconds > 0 else 0.0

    def lag_ms(self, percent: float) -> float:
        """A percentile of the lag in milliseconds; 0 without frames."""
        lags = tuple(self._lags)  # the status line reads it in a thread of its own
        return float(np.percentile(lags, percent)) * 1000 if lags else 0.0


@dataclass(frozen=True)
class SourceSummary:
    """One source of a live run.

    Attributes
    ----------
    source, kind : what it is.
    state : ``ended`` or ``failed`` after the run.
    error : why it failed.
    frames : recognised.
    decoded : frames that came.
    dropped : of these, replaced by a newer one before anybody had time for them.
    reconnects : tries to open it again.
    seconds : from its first frame to its last.
    fps : frames recognised per second; ``recent_fps`` of late.
    p50_ms, p95_ms : from decoded to recognised.
    people : numbers given.
    looked, carried : people whose key points were measured, or moved along from before.
    every : in how many frames a person was looked at once, of late.
    """

    source: str
    kind: Kind
    state: State
    error: str | None
    frames: int
    decoded: int
    dropped: int
    reconnects: int
    seconds: float
    fps: float
    recent_fps: float
    p50_ms: float
    p95_ms: float
    people: int
    looked: int
    carried: int
    every: float


@dataclass(frozen=True)
class LiveSummary:
    """All sources, in the order given."""

    sources: tuple[SourceSummary, ...]

    def to_json(self, **more: object) -> str:
        """JSON with line ends, and whatever else is given beside ``sources``."""
        return json.dumps(asdict(self) | more, ensure_ascii=False, indent=2) + "\n"
