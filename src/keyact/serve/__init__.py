"""A server: photos, clips and streams in over HTTP, results out (extra ``serve``).

``create_app`` gives the ASGI application, ``serve`` runs it until SIGTERM or Ctrl-C.

>>> from keyact.serve import ServeSettings, serve  # doctest: +SKIP
>>> serve(ServeSettings(port=8000))  # doctest: +SKIP

Names are resolved on first use, so that models load while FastAPI is still being imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyact.lazy import resolver

if TYPE_CHECKING:
    from keyact.serve.app import create_app
    from keyact.serve.run import serve
    from keyact.serve.service import Service
    from keyact.serve.settings import ServeSettings

__all__ = ["ServeSettings", "Service", "create_app", "serve"]

_HOME = {
    "ServeSettings": "keyact.serve.settings",
    "Service": "keyact.serve.service",
    "create_app": "keyact.serve.app",
    "serve": "keyact.serve.run",
}

__getattr__, __dir__ = resolver(__name__, _HOME)
