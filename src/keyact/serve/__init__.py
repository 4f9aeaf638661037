"""A server: photos, clips and streams in over HTTP, results out (extra ``serve``).

``create_app`` gives the ASGI application, ``serve`` runs it until SIGTERM or Ctrl-C.

>>> from keyact.serve import ServeSettings, serve  # doctest: +SKIP
>>> serve(ServeSettings(port=8000))  # doctest: +SKIP

Names are resolved on first use, so that models load while FastAPI is still being imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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


def __getattr__(name: str) -> object:
    """Import the public name from its module on first use (PEP 562)."""
    try:
        module = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'keyact.serve' has no attribute {name!r}") from None
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value
