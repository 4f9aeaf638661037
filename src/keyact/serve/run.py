"""Run a server until SIGTERM or Ctrl-C, and let what is in progress end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from keyact.errors import KeyactError
from keyact.serve.service import Service
from keyact.serve.settings import ServeSettings

if TYPE_CHECKING:
    import uvicorn


def serve(settings: ServeSettings, started: Callable[[str], None] | None = None) -> None:
    """Load the models, then listen until SIGTERM or Ctrl-C.

    From the signal on nothing new is accepted; requests in progress are answered, for up to
    ``settings.drain_timeout`` seconds.

    Parameters
    ----------
    started : told the address as soon as clients can connect.

    Raises
    ------
    KeyactError : a model cannot be had, or the address cannot be listened on.
    """
    server, listening = build(settings)
    from keyact.serve.logs import set_up_logs

    set_up_logs(settings.log)
    try:
        if started is not None:
            started(address(listening))
        server.run(sockets=[listening])
    finally:
        listening.close()


def build(settings: ServeSettings) -> tuple[uvicorn.Server, socket.socket]:
    """A server with its models loaded, and the socket it is to ``run`` with; see `serve`."""
    service = Service(settings)
    listening = _listen(settings)
    try:
        with ThreadPoolExecutor(1, "keyact-load") as pool:
            loading = pool.submit(service.load)
            # FastAPI and uvicorn take as long to import as the models to load: both at once.
            import uvicorn

            from keyact.serve.app import create_app
            from keyact.serve.draining import DrainingServer

            app = create_app(service=service)
            loading.result()
    except BaseException:
        listening.close()
        raise
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws_max_size=settings.max_frame_bytes + 1024,
        # Frames that wait in the kernel or in a queue are old ones: the stream drops them.
        ws_max_queue=4,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout)),
        h11_max_incomplete_event_size=64 * 1024,
    )
    return DrainingServer(config, service), listening


def address(listening: socket.socket) -> str:
    """``http://HOST:PORT`` of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(settings: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol by name: asyncio sets TCP_NODELAY only where it is told, and without it the last
    # packet of each answer waits 40 ms for the client's delayed acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise KeyactError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}; "
            "choose another with --port"
        ) from None
    return listening
