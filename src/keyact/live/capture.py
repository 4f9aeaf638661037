"""One thread per source that decodes, and holds the newest frame for whoever asks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.live.source import Frames, Source

MAX_PIXELS = 36_000_000
"""Of a frame; admits 8K."""

State: TypeAlias = Literal["connecting", "running", "waiting", "ended", "failed"]


class Backoff:
    """How long to wait before the next try: twice as long each time, until something works.

    Parameters
    ----------
    first, most : seconds.
    """

    def __init__(self, first: float = 0.5, most: float = 30.0) -> None:
        self._first, self._most = first, most
        self._next = first
        self.failures = 0
        """In a row."""

    def fail(self) -> float:
        """Seconds to wait after one more failure."""
        wait, self._next = self._next, min(2 * self._next, self._most)
        self.failures += 1
        return wait

    def reset(self) -> None:
        """It works."""
        self._next = self._first
        self.failures = 0


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame that was taken from a source.

    Attributes
    ----------
    index : number of the frame within the source, those counted that were dropped.
    seconds : since the source began.
    image : (H, W, 3) BGR.
    arrived : when it was decoded, by the capture's clock.
    name : of its file, for photos.
    """

    index: int
    seconds: float
    image: NDArray[np.uint8]
    arrived: float
    name: str | None = None


class Capture:
    """Decodes a source in a thread of its own.

    A live source, and a recorded one that is played as if it were live, never waits: a newer frame
    takes the place of one that nobody has taken yet, so what is taken is at most one frame old. Of
    a recorded one that is not, every frame is handed over, and decoding waits for it.

    Parameters
    ----------
    source : what to watch.
    news : notified when a frame is there or the source is over; sources may share one.
    realtime : play recorded sources at their own pace.
    retries : tries in a row after which a source that breaks off is given up; None never.
    told : is given what went wrong on the way, in the thread.
    clock, wait : for tests; ``wait(seconds)`` is true when it was cut short by `stop`.

    Attributes
    ----------
    frames, dropped, reconnects : counts.
    error : why it ended, if not of itself.
    rate : frames per second that the source promises.
    live : frames are dropped rather than waited for.
    """

    def __init__(
        self,
        source: Source,
        news: threading.Condition,
        *,
        realtime: bool = False,
        retries: int | None = None,
        max_pixels: int = MAX_PIXELS,
        backoff: Backoff | None = None,
        told: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self.source = source
        self.frames = self.dropped = self.reconnects = 0
        self.error: InputError | None = None
        self.state: State = "connecting"
        self.rate = 25.0
        self.live = realtime or source.comes_back
        self._news = news
        self._realtime = realtime
        self._retries = retries
        self._max_pixels = max_pixels
        self._backoff = backoff or Backoff()
        self._told = told
        self._clock = clock
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        self._shot: Shot | None = None
        self._recorded = False
        self._began: float | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"keyact-{source.name}", daemon=True
        )  # a driver may hang for good: it must not hold the process

    def start(self) -> None:
        """Begin to decode."""
        self._thread.start()

    def stop(self) -> None:
        """Decode no more; returns at once."""
        self._stop.set()
        with self._news:
            self._news.notify_all()

    def join(self, seconds: float) -> bool:
        """Wait for the thread; whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def over(self) -> bool:
        """Nothing will come any more, and nothing waits."""
        return self.state in ("ended", "failed") and self._shot is None

    @property
    def ready(self) -> bool:
        """A frame waits."""
        return self._shot is not None

    def take(self) -> Shot | None:
        """The newest frame, once."""
        with self._news:
            shot, self._shot = self._shot, None
            self._news.notify_all()
        return shot

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._play()
                    break
                except InputError as error:
                    if not self._again(error):
                        break
        except Exception as error:  # a fault of ours or of a decoder: the other sources go on
            self.error = InputError(f"{self.source.name}: {type(error).__name__}: {error}")
        with self._news:
            self.state = "ended" if self.error is None else "failed"
            self._news.notify_all()

    def _again(self, error: InputError) -> bool:
        """Wait before the next try; false when there is none."""
        if self._stop.is_set():
            return False
        pause = self._backoff.fail()
        given_up = self._retries is not None and self._backoff.failures > self._retries
        # A camera that was never there is a wrong number; a network may still be coming up. A
        # recording would begin anew.
        hopeless = (
            not self.source.comes_back
            or self._recorded
            or (self.source.kind == "camera" and self._began is None)
        )
        if hopeless or given_up:
            self.error = error
            return False
        self.state = "waiting"
        self._told(f"{error}; trying again in {pause:g} s")
        if self._wait(pause):
            return False
        self.reconnects += 1
        return True

    def _play(self) -> None:
        """Once from the opening to the end.

        Raises
        ------
        InputError : it could not be opened, or broke off.
        """
        self.state = "connecting"
        frames = self.source.open(self._max_pixels)
        try:
            self.rate, self._recorded = frames.rate, frames.recorded
            # Of a file on a web server all is wanted, as of one on the disk.
            self.live = self._realtime or not frames.recorded
            self._pass_on(frames)
        finally:
            with contextlib.suppress(Exception):
                frames.close()

    def _pass_on(self, frames: Frames) -> None:
        start = self._clock()
        if self._began is None:
            self._began = start
        for seconds, pixels, name in frames:
            if frames.recorded and self._realtime:
                early = start + seconds - self._clock()
                if early > 0 and self._wait(early):
                    return
            if self._stop.is_set():
                return
            self.state = "running"
            self._backoff.reset()
            if isinstance(pixels, InputError):
                self._told(str(pixels))
                continue
            now = self._clock()
            # A live source's own clock starts anew whenever it is opened.
            at = seconds if frames.recorded else now - self._began
            self._put(Shot(self.frames, at, pixels, now, name))

    def _put(self, shot: Shot) -> None:
        with self._news:
            if not self.live:
                while self._shot is not None and not self._stop.is_set():
                    self._news.wait()
            elif self._shot is not None:
                self.dropped += 1
            if self._stop.is_set():
                return
            self.frames += 1
            self._shot = shot
            self._news.notify_all()
