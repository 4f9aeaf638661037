"""The ASGI application: routes, errors and middleware put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.serve import stream, v1, v2
from keyact.serve.access import Guarded
from keyact.serve.logs import Observed, log, request_id
from keyact.serve.page import page_files, page_router
from keyact.serve.service import Service
from keyact.serve.settings import ServeSettings
from keyact.serve.uploads import body_limit
from keyact.serve.work import BusyError, LateError

_STATUS = ((UnknownNameError, 404), (InputError, 422), (BusyError, 429), (LateError, 503))


def create_app(settings: ServeSettings | None = None, service: Service | None = None) -> FastAPI:
    """A server as an ASGI application; models are loaded when it starts, unless they are.

    Parameters
    ----------
    settings : by default those of `ServeSettings`.
    service : to share or prepare it; made from the settings when not given.
    """
    service = service or Service(settings or ServeSettings())
    settings = service.settings

    def accepting() -> None:
        if not service.ready:
            text = "shutting down" if service.draining else "loading the models"
            raise HTTPException(503, text, {"retry-after": "5"})

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.load)
        rest = asyncio.create_task(asyncio.to_thread(service.load_rest))
        yield
        await rest
        await service.close()

    app = FastAPI(
        title="keyact",
        version=version("keyact"),
        summary="Name what each person is doing in a photo, a clip or a stream.",
        lifespan=life,
        # Their pages would fetch scripts from a CDN; the document itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    needs = [Depends(accepting)]
    if settings.token is not None:  # for the OpenAPI document: `Guarded` has looked by then
        needs.append(Security(HTTPBearer(auto_error=False)))
    for router in (v1.router, v2.models):
        app.include_router(router, dependencies=needs)
    app.include_router(v2.router)
    app.include_router(stream.router)
    found = page_files() if settings.page else {}
    app.include_router(page_router(found))

    @app.get("/metrics", tags=["operation"], response_class=Response)
    async def metrics() -> Response:
        """Figures in the text format of Prometheus."""
        return Response(service.metrics.text(service), media_type="text/plain; version=0.0.4")

    _answer_errors(app, service)
    app.add_middleware(Guarded, settings=settings, public=frozenset(found))
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id", "x-file-name",
                           "inference-header-content-length"],
            expose_headers=["x-request-id", "inference-header-content-length"],
            max_age=600,
        )  # fmt: skip
    app.add_middleware(Observed, service=service, limit=body_limit(settings))
    return app


def _answer_errors(app: FastAPI, service: Service) -> None:
    @app.exception_handler(KeyactError)
    async def known(request: Request, error: KeyactError) -> Response:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        headers = {}
        if status in (429, 503):
            service.metrics.refused.labels("busy" if status == 429 else "late").inc()
            headers = {"retry-after": "1"}
        if status == 500:
            log.error("failed", exc_info=error)
            return _answer(500, "the model failed; the server's log says why")
        return _answer(status, str(error), headers)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return _answer(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first: dict[str, Any] = error.errors()[0]
        return _answer(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> Response:
        log.error("failed", exc_info=error)
        return _answer(500, "the server failed; its log says why")


def _answer(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    content = {"error": text, "request_id": request_id.get()}
    return JSONResponse(content, status, headers)
