"""``/v1/stream``: JPEG frames in, results out, never further behind than one frame."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from time import monotonic, perf_counter
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from keyact.errors import KeyactError
from keyact.recognizer import Recognizer
from keyact.results import FrameResult
from keyact.serve.access import PROTOCOL
from keyact.serve.logs import log
from keyact.serve.service import Service, with_decoding
from keyact.serve.uploads import decode_photo
from keyact.serve.work import BusyError, LateError
from keyact.video import RunningVideo

router = APIRouter()

_TOP = 5


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
    try:
        recognizer = service.recognizer(model, pose)
        with service.streams.one():
            await _Stream(service, socket, recognizer, track).run()
    except BusyError as error:
        service.metrics.refused.labels("streams").inc()
        await socket.close(1013, str(error)[:120])
    except KeyactError as error:
        await socket.close(1008, str(error)[:120])
    except Exception as error:
        log.error("failed", exc_info=error)
        await socket.close(1011, "the server failed; its log says why")


class _Stream:
    def __init__(
        self, service: Service, socket: WebSocket, recognizer: Recognizer, track: bool
    ) -> None:
        self._service = service
        self._socket = socket
        self._recognizer = recognizer
        self._video = (
            RunningVideo(recognizer, sequence=service.sequence(recognizer) or False)
            if track
            else None
        )
        self._slot = _Slot()
        self._news = asyncio.Event()
        self._began = monotonic()
        self._dropped = 0

    async def run(self) -> None:
        """Until either side ends it."""
        reading = asyncio.create_task(self._read())
        working = asyncio.create_task(self._answer())
        done, rest = await asyncio.wait({reading, working}, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        socket, over = self._socket, WebSocketState.DISCONNECTED
        gone = over in (socket.client_state, socket.application_state)
        for task in done:
            error = task.exception()
            # Starlette complains in this way when the other task has closed the socket.
            if isinstance(error, WebSocketDisconnect) or (gone and isinstance(error, RuntimeError)):
                continue
            if error is not None:
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
            self._slot = _Slot(number, data, monotonic(), True)
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
            except LateError as error:
                # The frame may still be worked on, and the next one must not overtake it.
                self._service.metrics.refused.labels("late").inc()
                await self._socket.close(1013, f"{error}; try again later"[:120])
                return
            except KeyactError as error:
                answer["error"] = str(error)
            else:
                self._service.metrics.seen(result)
                answer |= self._told(result)
            answer["dropped"] = self._dropped
            answer["lag_ms"] = round((monotonic() - frame.arrived) * 1000, 1)
            await self._socket.send_text(json.dumps(answer, separators=(",", ":")))

    def _recognize(self, frame: _Slot) -> FrameResult:
        start = perf_counter()
        image = decode_photo(frame.data, f"frame {frame.number}", self._service.settings)
        decode = (perf_counter() - start) * 1000
        seconds = frame.arrived - self._began
        result = self._recognizer(image, source="stream", index=frame.number, timestamp=seconds)
        result = with_decoding(result, decode)
        return result if self._video is None else self._video.push(result, image, seconds)

    def _told(self, result: FrameResult) -> dict[str, Any]:
        """The result, and by number of each person: what is settled, and this moment."""
        now = {} if self._video is None else self._video.now(result)
        labels = {
            str(person.track_id): person.settled
            for person in result.people
            if person.track_id is not None and person.settled is not None
        }
        return {
            "labels": labels,
            "now": {str(number): _best(actions) for number, actions in now.items()},
            "result": result.top(_TOP).model_dump(mode="json"),
        }


def _best(probabilities: dict[str, float]) -> list[dict[str, Any]]:
    """The most probable actions, in the form that results have them."""
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])[:_TOP]
    return [{"label": label, "probability": round(value, 4)} for label, value in ranked]
