"""Request ids, one log line per answer, and the headers every answer gets."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import uuid
from contextvars import ContextVar
from typing import Any, Literal

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyact.serve.service import Service

log = logging.getLogger("keyact.serve")
request_id: ContextVar[str] = ContextVar("request_id", default="-")

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
        "img-src 'self' blob: data:", "media-src 'self' blob:", "base-uri 'none'",
        "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
    )
)  # fmt: skip
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}


class Observed:
    """ASGI middleware round everything else.

    Gives each request an id (the client's ``X-Request-ID`` if it is one), counts and logs its
    answer, limits its body and adds the security headers.
    """

    def __init__(self, app: ASGIApp, service: Service, limit: int) -> None:
        self._app = app
        self._service = service
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        number = given if _ID.fullmatch(given) else uuid.uuid4().hex
        request_id.set(number)
        started = time.perf_counter()
        idle = self._service.settings.idle_timeout
        complete = scope["type"] != "http"  # what comes then is the client's leaving
        status = 500 if scope["type"] == "http" else 101
        received = 0

        async def limited() -> Message:
            nonlocal received, complete
            if complete:
                return await receive()
            try:
                with anyio.fail_after(idle):
                    message = await receive()
            except TimeoutError:
                gone = {"connection": "close"}
                raise HTTPException(408, f"nothing came for {idle:g} seconds", gone) from None
            complete = not message.get("more_body", False)
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._limit:
                    gone = {"connection": "close"}
                    raise HTTPException(413, f"a request has at most {self._limit} bytes", gone)
            return message

        async def labelled(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                answer["x-request-id"] = number
                for name, value in HEADERS.items():
                    answer[name] = value
            elif message["type"] == "websocket.close" and status == 101:
                status = message.get("code", 1000)
            await send(message)

        try:
            if scope["type"] == "http" and _length(headers) > self._limit:
                # Before a byte of it is read.
                await _too_large(labelled, number, self._limit)
            else:
                await self._app(scope, limited, labelled)
        finally:
            self._count(scope, status, time.perf_counter() - started, received)

    def _count(self, scope: Scope, status: int, seconds: float, received: int) -> None:
        # The route's pattern, not the path: a client cannot invent new ones.
        route = getattr(scope.get("route"), "path", None) or "other"
        method = scope.get("method", "WEBSOCKET")
        method = method if method in ("GET", "POST", "HEAD", "OPTIONS", "WEBSOCKET") else "other"
        metrics = self._service.metrics
        metrics.requests.labels(route, method, str(status)).inc()
        if scope["type"] == "http":
            metrics.seconds.labels(route).observe(seconds)
        quiet = route.startswith("/v2/health") or route == "/metrics"
        log.log(
            logging.DEBUG if quiet else logging.INFO,
            "answered",
            extra={
                "about": {
                    "method": method,
                    "route": route,
                    "status": status,
                    "ms": round(seconds * 1000, 1),
                    "bytes_in": received,
                    "client": (scope.get("client") or ("-",))[0],
                }
            },
        )


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() else 0


async def _too_large(send: Send, number: str, limit: int) -> None:
    body = json.dumps(
        {"error": f"a request has at most {limit} bytes", "request_id": number}
    ).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Json(logging.Formatter):
    """One JSON object per line; what clients say is a value in it, never a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(record, self.formatException))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record, self.formatException)
        head = f"{fields.pop('time')} {fields.pop('level'):<7} {fields.pop('message')}"
        return " ".join((head, *(f"{key}={value!r}" for key, value in fields.items())))


def _fields(record: logging.LogRecord, trace: Any) -> dict[str, Any]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    fields = {
        "time": f"{stamp}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
        "request_id": request_id.get(),
        **getattr(record, "about", {}),
    }
    if record.exc_info:
        fields["exception"] = trace(record.exc_info)
    return fields


def set_up_logs(form: Literal["json", "text", "off"]) -> None:
    """Send keyact's and uvicorn's log lines to stderr in the given form."""
    for name in ("keyact", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = False
        if form == "off":
            logger.addHandler(logging.NullHandler())
            continue
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Json() if form == "json" else _Text())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
