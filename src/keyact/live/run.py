"""Sources to results while they run.

>>> for frame in watch(["0"]):  # doctest: +SKIP
...     print(frame.source, [(p.track_id, p.settled) for p in frame.result.people])
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keyact.live.capture import MAX_PIXELS, Capture, Shot
from keyact.live.source import Source, parse_source
from keyact.live.spread import Spread
from keyact.live.stats import LiveSummary, Meter, SourceSummary
from keyact.recognizer import Recognizer
from keyact.results import FrameResult
from keyact.track import ByteTrack
from keyact.video import RunningVideo, sequence_network

if TYPE_CHECKING:
    from keyact.action import SequenceModel

MIN_FPS = 10.0
"""Frames per second below which people are looked at in turn."""
IDLE_SECONDS = 0.1
JOIN_SECONDS = 2.0
"""How long to wait at the end for threads that may hang in a driver or a connection."""


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One recognised frame.

    Attributes
    ----------
    source : name of its source.
    number : of its source, from 0, in the order given.
    image : (H, W, 3) uint8 BGR; the size may change within a source.
    result : people numbered, key points steady; ``settled`` is what they do without flicker.
    lag : seconds from decoded to recognised.
    now : each numbered person's probabilities at this moment, of all labels that are known.
    """

    source: str
    number: int
    image: NDArray[np.uint8]
    result: FrameResult
    lag: float
    now: dict[int, dict[str, float]] = field(default_factory=dict)


class LiveRecognizer:
    """Watches several sources at once; memory does not grow with time.

    Each source has a thread that decodes and a state of its own: numbers, steady key points, what
    people do. The networks are shared, and whichever source waits longest is next.

    Parameters
    ----------
    sources : as of `parse_source`, or parsed.
    recognizer : for the single frames; the default one when not given.
    allow_network : open addresses, too.
    realtime : play files at their own pace and drop what there is no time for, as of a camera.
    sequence : as of `keyact.video.VideoRecognizer`.
    min_fps : when live sources would fall below this rate, people are looked at in turn
        (`keyact.live.spread`); 0 always looks at everybody.
    retries : tries in a row after which a lost camera or stream is given up; None never.
    max_pixels : of a frame.
    told : is given what goes wrong on the way, a line each, from any thread.
    idle : is called now and then while no frame comes, by whoever iterates.

    Raises
    ------
    InputError : a source does not exist, or is not allowed.
    ValueError : no source, or an option out of its range.
    """

    def __init__(
        self,
        sources: Sequence[str | Source],
        recognizer: Recognizer | None = None,
        *,
        allow_network: bool = False,
        realtime: bool = False,
        sequence: str | Path | SequenceModel | bool | None = None,
        min_fps: float = MIN_FPS,
        retries: int | None = None,
        max_pixels: int = MAX_PIXELS,
        told: Callable[[str], None] = lambda text: None,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        if not sources or min_fps < 0 or max_pixels < 1 or (retries is not None and retries < 0):
            raise ValueError("needs a source; min_fps, retries and max_pixels are not below 0")
        self._recognizer = recognizer or Recognizer()
        self._sequence = sequence
        self._min_fps = min_fps
        self._news = threading.Condition()
        self._idle = idle
        self._stopped = threading.Event()
        self._captures = [
            Capture(
                one if isinstance(one, Source) else parse_source(one, allow_network),
                self._news,
                realtime=realtime,
                retries=retries,
                max_pixels=max_pixels,
                told=told,
            )
            for one in sources
        ]
        self._states = [_State() for _ in self._captures]
        self._warm = False

    @property
    def sources(self) -> tuple[Source, ...]:
        """What is watched."""
        return tuple(capture.source for capture in self._captures)

    def warm_up(self) -> LiveRecognizer:
        """Load and run every network now, so that the first frame does not wait for it.

        Raises
        ------
        UnknownNameError, WeightsError : a network cannot be had.
        """
        if self._warm:
            return self
        grey = np.full((64, 64, 3), 128, np.uint8)
        box = np.array([[8, 8, 56, 56]], np.float32)
        self._recognizer(grey)
        self._recognizer.pose_estimator(grey, box)
        self._recognizer.action_model(grey, box, np.zeros((1, 17, 3), np.float32))
        ByteTrack()(box, [0.9])
        _ = self.labels
        self._warm = True
        return self

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The actions that it can name."""
        return self._video().labels

    @cached_property
    def _network(self) -> SequenceModel | None:
        """Loaded once, for all sources."""
        return sequence_network(self._recognizer, self._sequence)

    def __iter__(self) -> Iterator[LiveFrame]:
        """Recognised frames until all sources are over or `stop` is called; once per object."""
        self.warm_up()
        resumed = time.monotonic()
        try:
            for capture in self._captures:
                capture.start()
            while (number := self._next()) is not None:
                shot = self._captures[number].take()
                if shot is None:
                    continue
                state = self._states[number]
                frame = self._frame(number, shot, state.other)
                state.served = before = time.monotonic()
                yield frame
                resumed = time.monotonic()
                state.other += 0.2 * (resumed - before - state.other)
        finally:
            self.stop()
            end = time.monotonic() + JOIN_SECONDS
            for capture in self._captures:
                if capture.state != "connecting" or capture.frames:
                    capture.join(max(0.0, end - time.monotonic()))

    def stop(self) -> None:
        """End the iteration after the frame in progress; from any thread or signal handler."""
        self._stopped.set()
        for capture in self._captures:
            capture.stop()

    def summary(self) -> LiveSummary:
        """Counts and times up to now."""
        return LiveSummary(
            tuple(
                SourceSummary(
                    source=capture.source.name,
                    kind=capture.source.kind,
                    state=capture.state,
                    error=None if capture.error is None else str(capture.error),
                    frames=state.meter.frames,
                    decoded=capture.frames,
                    dropped=capture.dropped,
                    reconnects=capture.reconnects,
                    seconds=round(state.meter.seconds, 3),
                    fps=round(state.meter.mean_fps, 2),
                    recent_fps=round(state.meter.fps, 2),
                    p50_ms=round(state.meter.lag_ms(50), 1),
                    p95_ms=round(state.meter.lag_ms(95), 1),
                    people=state.people,
                    looked=0 if state.spread is None else state.spread.looked,
                    carried=0 if state.spread is None else state.spread.carried,
                    every=1.0 if state.spread is None else round(state.spread.every, 2),
                )
                for capture, state in zip(self._captures, self._states, strict=True)
            )
        )

    def _next(self) -> int | None:
        """The source whose turn it is; None at the end."""
        while not self._stopped.is_set():
            with self._news:
                ready = [n for n, capture in enumerate(self._captures) if capture.ready]
                if ready:
                    return min(ready, key=lambda number: self._states[number].served)
                if all(capture.over for capture in self._captures):
                    return None
                came = self._news.wait(IDLE_SECONDS)
            if not came:
                self._idle()
        return None

    def _frame(self, number: int, shot: Shot, other: float) -> LiveFrame:
        capture, state = self._captures[number], self._states[number]
        if state.spread is None:
            state.spread = Spread(self._recognizer)
        if state.video is None and capture.source.kind != "photos":
            state.video = self._video(capture.rate)
        began = time.monotonic()
        state.spread.begin(shot.seconds, self._allowance(capture))
        result = state.spread.recognizer(
            shot.image,
            source=shot.name or capture.source.name,
            index=shot.index,
            timestamp=shot.seconds if state.video is not None else None,
        )
        now = {}
        if state.video is not None:
            result = state.video.push(result, shot.image, shot.seconds)
            now = state.video.now(result)
            state.people = max([state.people, *now])
        done = time.monotonic()
        result = state.spread.end(result, done - began + other).top(self._recognizer.top_k)
        state.meter.add(done, done - shot.arrived)
        return LiveFrame(capture.source.name, number, shot.image, result, done - shot.arrived, now)

    def _allowance(self, capture: Capture) -> float | None:
        """Seconds that a frame may cost."""
        if not self._min_fps or not capture.live:
            return None
        running = sum(not one.over for one in self._captures)
        return 1 / min(self._min_fps, capture.rate) / max(running, 1)

    def _video(self, fps: float = MIN_FPS) -> RunningVideo:
        return RunningVideo(self._recognizer, fps, sequence=self._network or False)


def watch(
    sources: Sequence[str | Source],
    recognizer: Recognizer | None = None,
    *,
    allow_network: bool = False,
    realtime: bool = False,
    sequence: str | Path | SequenceModel | bool | None = None,
    min_fps: float = MIN_FPS,
    retries: int | None = None,
) -> Iterator[LiveFrame]:
    """Recognised frames of several sources, until all are over; see `LiveRecognizer`."""
    return iter(
        LiveRecognizer(
            sources,
            recognizer,
            allow_network=allow_network,
            realtime=realtime,
            sequence=sequence,
            min_fps=min_fps,
            retries=retries,
        )
    )


class _State:
    """What is known of one source."""

    def __init__(self) -> None:
        self.spread: Spread | None = None
        self.video: RunningVideo | None = None
        self.meter = Meter()
        self.people = 0
        self.served = 0.0
        self.other = 0.0  # seconds that whoever iterates takes per frame
