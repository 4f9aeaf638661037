"""The web page: files of the package, each with its type and nothing else."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Request, Response

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def page_files() -> dict[str, tuple[bytes, str]]:
    """Path of the address -> content and type."""
    found = {}
    for file in files("keyact.serve").joinpath("web").iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in _TYPES:
            path = "/" if file.name == "index.html" else f"/web/{file.name}"
            found[path] = (file.read_bytes(), _TYPES[suffix])
    return found


def page_router(found: dict[str, tuple[bytes, str]]) -> APIRouter:
    """A route for each file: no path of a client ever meets the file system."""
    router = APIRouter()
    for path, (content, kind) in found.items():
        mark = f'"{hashlib.sha256(content).hexdigest()[:16]}"'

        # Bound as defaults: a closure would see the last file only.
        def send(
            request: Request, _content: bytes = content, _kind: str = kind, _mark: str = mark
        ) -> Response:
            headers = {"etag": _mark, "cache-control": "no-cache"}
            if request.headers.get("if-none-match") == _mark:
                return Response(status_code=304, headers=headers)
            return Response(_content, media_type=_kind, headers=headers)

        router.add_route(path, send, methods=["GET"], include_in_schema=False)
    return router
