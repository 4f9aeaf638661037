"""``/v1/stream``: JPEG frames in, results out, never further behind than one frame."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from keyact.errors import KeyactError
from keyact.recognizer import Recognizer
from keyact.results import FrameResult
from keyact.serve.access import PROTOCOL
from keyact.serve.service import Service, top, with_decoding
from keyact.serve.uploads import decode_photo
from keyact.timeline.evidence import STEP
from keyact.video import VideoRecognizer

router = APIRouter()

_TOP = 5
_FPS = 10.0  # what the tracker expects of a webcam that is recognised on a CPU


@dataclass
class _Slot:
    """The newest frame that waits, if any."""

    number: int = -1
    data: bytes = b""
    arrived: float = 0.0
    full: bool = False


@router.websocket("/v1/stream")
async def stream(
    socket: WebSocket, model: str | None = None, pose: str | None = None, track: bool = True
) -> None:
    """See `docs/serving.md`."""
    service: Service = socket.app.state.service
    wanted = PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None
    await socket.accept(wanted)
    if not service.ready:
        await socket.close(1012, "loading or shutting down; try again later")
        return
    if service.streams >= service.settings.max_streams:
        service.metrics.refused.labels("streams").inc()
        await socket.close(1013, "too many streams; try again later")
        return
    try:
        recognizer = service.recognizer(model, pose)
    except KeyactError as error:
        await socket.close(1008, str(error)[:120])
        return
    service.streams += 1
    try:
        await _Stream(service, socket, recognizer, track).run()
    finally:
        service.streams -= 1


class _Stream:
    def __init__(
        self, service: Service, socket: WebSocket, recognizer: Recognizer, track: bool
    ) -> None:
        self._service = service
        self._socket = socket
        self._recognizer = recognizer
        self._video = (
            VideoRecognizer(recognizer, _FPS, sequence=service.sequence, collect=False)
            if track
            else None
        )
        self._slot = _Slot()
        self._news = asyncio.Event()
        self._began = time.monotonic()
        self._dropped = 0
        self._last = 0.0
        self._interval = 0.0  # seconds between frames that are recognised, over the last few

    async def run(self) -> None:
        """Until either side ends it."""
        reading = asyncio.create_task(self._read())
        working = asyncio.create_task(self._answer())
        done, rest = await asyncio.wait({reading, working}, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, (WebSocketDisconnect, RuntimeError)):
                raise error

    async def _read(self) -> None:
        """Take every frame off the line at once; a newer one replaces one that waits."""
        number = 0
        limit = self._service.settings.max_frame_bytes
        while True:
            try:
                message = await asyncio.wait_for(
                    self._socket.receive(), self._service.settings.idle_timeout
                )
            except asyncio.TimeoutError:
                await self._socket.close(1001, "no frame for too long")
                return
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes")
            if data is None:
                await self._socket.close(1003, "frames are binary messages, one JPEG each")
                return
            if len(data) > limit:
                await self._socket.close(1009, f"a frame has at most {limit} bytes")
                return
            if self._slot.full:
                self._dropped += 1
                self._service.metrics.dropped.inc()
            self._slot = _Slot(number, data, time.monotonic(), True)
            self._news.set()
            number += 1

    async def _answer(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            frame, self._slot = self._slot, _Slot()
            if self._service.draining:
                await self._socket.close(1012, "the server is shutting down")
                return
            answer: dict[str, Any] = {"frame": frame.number, "dropped": self._dropped}
            try:
                result = await self._service.work.run(
                    partial(self._recognize, frame),
                    timeout=self._service.settings.timeout,
                    patient=True,
                )
            except KeyactError as error:
                answer["error"] = str(error)
            else:
                self._service.metrics.seen(result)
                answer["labels"] = self._labels(result)
                answer["result"] = top(result, _TOP).model_dump(mode="json")
            answer["dropped"] = self._dropped
            answer["lag_ms"] = round((time.monotonic() - frame.arrived) * 1000, 1)
            await self._socket.send_text(json.dumps(answer, separators=(",", ":")))

    def _recognize(self, frame: _Slot) -> FrameResult:
        start = time.perf_counter()
        image = decode_photo(frame.data, f"frame {frame.number}", self._service.settings)
        decode = (time.perf_counter() - start) * 1000
        result = self._recognizer(
            image, source="stream", index=frame.number, timestamp=frame.arrived - self._began
        )
        result = with_decoding(result, decode)
        return result if self._video is None else self._video.push(result, image)

    def _labels(self, result: FrameResult) -> dict[str, str]:
        """What each person does as far as it is settled, by number; it does not flicker."""
        seconds = result.timestamp or 0.0
        if self._last:
            self._interval += 0.3 * (seconds - self._last - self._interval)
        self._last = seconds
        # With less than a frame per cell of the timeline nothing is ever settled, and "unknown"
        # would say more than is known.
        if self._video is None or self._interval > STEP:
            return {}
        return {
            str(person.track_id): self._video.label(person.track_id)
            for person in result.people
            if person.track_id is not None
        }
