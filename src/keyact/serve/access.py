"""Who may use a server: token, host names, origins."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from keyact.serve.settings import ServeSettings

PROTOCOL = "keyact.v1"
"""Subprotocol of the stream."""
TOKEN_PROTOCOL = "keyact.token."
"""Prefix of the subprotocol that carries the token (base64url, no padding): pages cannot set
headers on a WebSocket."""

_OPEN = ("/v2/health/live", "/v2/health/ready")


class Guarded:
    """ASGI middleware that answers only those who may ask.

    * With a token, everything but the health checks and the page's files needs it.
    * Without one, the ``Host`` must be an address or name of this server, so that no web page can
      reach it through a name of its own (DNS rebinding).
    * A request that says which page it comes from (``Origin``) is answered only for this server's
      own page and for the origins that the operator named.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, public: frozenset[str]) -> None:
        self._app = app
        self._public = public | set(_OPEN)
        self._origins = frozenset(settings.origins)
        self._hosts = frozenset(
            name.lower() for name in (*settings.hosts, settings.host, *_LOCAL) if name
        )
        # A page's own name for the server is no address, and it has not the token.
        self._addresses = not settings.loopback and not settings.hosts
        self._names = self._addresses and settings.token is not None
        token = settings.token
        self._digest = None if token is None else _digest(token.get_secret_value())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            from keyact.serve.logs import request_id

            status, text = refusal
            answer = JSONResponse({"error": text, "request_id": request_id.get()}, status)
            if status == 401:
                answer.headers["www-authenticate"] = "Bearer"
            await answer(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = _host(headers.get("host", ""))
        if (
            host not in self._hosts
            and not self._names
            and not (self._addresses and _is_address(host))
        ):
            return 421, f"this server is not {host or 'without a name'}; the operator names hosts"
        origin = headers.get("origin")
        own = f"http://{headers.get('host', '')}"
        if origin is not None and origin not in self._origins and _place(origin) != _place(own):
            return 403, "pages of this origin may not use the server; the operator names origins"
        if self._digest is None or scope["path"] in self._public:
            return None
        given = _given(headers)
        if given is None:
            return 401, "send the token: Authorization: Bearer TOKEN"
        if not hmac.compare_digest(_digest(given), self._digest):
            return 401, "wrong token"
        return None


_LOCAL = ("localhost", "127.0.0.1", "::1")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _digest(token: str) -> bytes:
    # Of equal length, so that the comparison tells nothing of the token's.
    return hashlib.sha256(token.encode()).digest()


def _given(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        text = protocol.strip()
        if text.startswith(TOKEN_PROTOCOL):
            coded = text.removeprefix(TOKEN_PROTOCOL)
            try:
                return base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode("ascii")
            except (binascii.Error, ValueError):
                return None
    return None


def _host(text: str) -> str:
    """The name in ``name:port`` or ``[address]:port``."""
    if text.startswith("["):
        return text[1:].partition("]")[0].lower()
    return text.partition(":")[0].lower()


def _place(origin: str) -> tuple[str, str]:
    """Name and port; the scheme is not compared, since a proxy may speak TLS for the server."""
    place = origin.partition("://")[2]
    port = place.rpartition("]")[2].rpartition(":")[2] if ":" in place else ""
    return _host(place), "" if port in ("80", "443") else port
