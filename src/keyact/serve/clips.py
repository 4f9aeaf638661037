"""Clips: frame by frame through the queue of the photos, people followed, a timeline at the end."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from anyio.to_thread import run_sync
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.media.probe import VideoInfo, probe_video
from keyact.media.video import VideoLimits, iter_frames
from keyact.outputs import VideoWriter, annotate
from keyact.recognizer import Recognizer
from keyact.results import FrameResult
from keyact.serve.service import Service
from keyact.serve.uploads import Upload
from keyact.serve.work import LateError
from keyact.timeline import VideoTimeline
from keyact.video import VideoRecognizer, with_timeline

T = TypeVar("T")


class Clip:
    """One clip of a request.

    Parameters
    ----------
    every : look at every N-th frame.

    Attributes
    ----------
    timeline : who did what when; None before the last frame.
    info : length and rate that its header tells.

    Raises
    ------
    InputError : its header tells of more frames than are allowed.
    """

    def __init__(
        self, service: Service, recognizer: Recognizer, upload: Upload, every: int = 1
    ) -> None:
        self.info: VideoInfo = probe_video(upload.file)
        self.timeline: VideoTimeline | None = None
        self._service = service
        self._recognizer = recognizer
        self._upload = upload
        self._every = every
        self._most = service.settings.max_frames
        self._limits = VideoLimits(max_pixels=service.settings.max_pixels)
        if (self.info.frames or 0) > self._most * every:
            raise self._too_long()

    @property
    def rate(self) -> float:
        """Frames per second of what is looked at."""
        return self.info.rate / self._every

    async def results(self) -> AsyncGenerator[FrameResult, None]:
        """The frames' results in order, people numbered.

        Raises
        ------
        InputError : damaged, or longer than allowed.
        LateError : out of time.
        """
        settings, name = self._service.settings, self._upload.name
        end = time.monotonic() + settings.clip_timeout
        sequence = self._service.sequence(self._recognizer) or False
        run = VideoRecognizer(self._recognizer, self.rate, sequence=sequence)
        frames = self._frames()
        count = 0
        try:
            while (found := await run_sync(_next, frames)) is not None:
                index, seconds, image = found
                if count == self._most:
                    raise self._too_long()
                left = end - time.monotonic()
                if left <= 0:
                    raise LateError(f"{name}: not done within {settings.clip_timeout:g} seconds")
                result = await self._service.recognize(
                    self._recognizer,
                    image,
                    timeout=left,
                    patient=True,
                    source=name,
                    index=index,
                    timestamp=seconds,
                )
                yield await run_sync(run.push, result, image)
                count += 1
        finally:
            frames.close()
        await run_sync(run.finish)  # the sequence network looks at the last windows
        self.timeline = run.timeline(name)

    def draw(self, results: list[FrameResult], target: Path) -> None:
        """Write the annotated clip, with the timeline's actions."""
        assert self.timeline is not None
        frames = self._frames()
        with VideoWriter(target, self.rate, self._upload.file) as out:
            for result, (_, seconds, image) in zip(results, frames, strict=False):
                picture = annotate(image, with_timeline(result, self.timeline, seconds))
                out.write(picture, seconds)

    def _frames(self) -> Generator[tuple[int, float, NDArray[np.uint8]], None, None]:
        file, name = self._upload.file, self._upload.name
        try:
            yield from iter_frames(file, self._every, self._most + 1, limits=self._limits)
        except InputError as error:  # where the file lies is nobody's business
            raise InputError(str(error).replace(str(file), name)) from None

    def _too_long(self) -> InputError:
        return InputError(
            f"{self._upload.name}: more than {self._most} frames to look at; send a shorter clip "
            "or a larger 'every'"
        )


def _next(frames: Iterator[T]) -> T | None:
    return next(frames, None)
