"""A server: photos, clips and streams in over HTTP, results out (extra ``serve``).

``create_app`` gives the ASGI application, ``serve`` runs it until SIGTERM or Ctrl-C.

>>> from keyact.serve import ServeSettings, serve  # doctest: +SKIP
>>> serve(ServeSettings(port=8000))  # doctest: +SKIP
"""

from __future__ import annotations

from keyact.serve.app import create_app
from keyact.serve.run import serve
from keyact.serve.service import Service
from keyact.serve.settings import ServeSettings

__all__ = ["ServeSettings", "Service", "create_app", "serve"]
