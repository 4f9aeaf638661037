"""keyact's own endpoints: photos and clips in, results or annotated copies out."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from numpy.typing import NDArray

from keyact.errors import InputError, KeyactError
from keyact.layouts import convert, get_layout
from keyact.outputs import annotate
from keyact.recognizer import Recognizer
from keyact.results import FrameResult
from keyact.serve.clips import Clip
from keyact.serve.service import Service, with_decoding
from keyact.serve.uploads import Kind, Upload, uploaded

router = APIRouter(tags=["keyact"])

Model = Annotated[str | None, Query(max_length=200, description="One of `/v1/models`.")]
Pose = Annotated[str | None, Query(max_length=200, description="One of `/v1/models`.")]
Output = Annotated[
    Literal["json", "lines", "annotated"],
    Query(
        description="`json`: the result (of a clip: `frames` and `timeline`); `lines`: JSON Lines, "
        "a frame each as it is done, the timeline last; `annotated`: a JPEG or an MP4."
    ),
]
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such model or pose backend."},
    408: {"description": "The upload stopped on the way."},
    413: {"description": "Too many bytes."},
    415: {"description": "Neither a photo nor a clip."},
    422: {"description": "Damaged, too many pixels or frames, or a wrong parameter."},
    429: {"description": "The queue is full."},
    503: {"description": "Out of time, loading or shutting down."},
}


@router.get("/v1/models")
def models(request: Request) -> dict[str, Any]:
    """What may be chosen, what the models know, and the limits."""
    service: Service = request.app.state.service
    settings, choice = service.settings, service.choice
    known = [(name, service.recognizer(name).action_model) for name in choice.models]
    layouts = {name: service.layout(name) for name in choice.poses}
    return {
        "version": version("keyact"),
        "models": [
            {
                "name": name,
                "labels": list(model.labels),
                "unknown_threshold": model.unknown_threshold,
                "sequence": _sequence(service, name),
            }
            for name, model in known
        ],
        "poses": [{"name": name, "layout": layouts[name]} for name in choice.poses],
        "layouts": {
            name: {
                "joints": list(get_layout(name).joints),
                "edges": [list(edge) for edge in get_layout(name).edges],
            }
            for name in sorted({*layouts.values(), "coco17"})
        },
        "explain": settings.explain and can_explain(),
        "limits": {
            "photo_bytes": settings.max_photo_bytes,
            "clip_bytes": settings.max_clip_bytes,
            "frame_bytes": settings.max_frame_bytes,
            "pixels": settings.max_pixels,
            "frames": settings.max_frames,
        },
    }


def _sequence(service: Service, model: str) -> dict[str, Any] | None:
    """What looks at clips and streams beside an action model."""
    network = service.sequence(service.recognizer(model))
    return None if network is None else {
        "name": network.name,
        "labels": list(network.labels),
        "unknown_threshold": network.unknown_threshold,
        "seconds": round(network.window, 3),
    }  # fmt: skip


@router.post("/v1/predict", openapi_extra=_BODY, responses=_ERRORS)
async def predict(
    request: Request,
    model: Model = None,
    pose: Pose = None,
    output: Output = "json",
    top_k: Annotated[int, Query(ge=1, le=1000, description="Ranked actions per person.")] = 5,
    every: Annotated[int, Query(ge=1, le=1000, description="Of a clip, every N-th frame.")] = 1,
) -> Response:
    """Recognise the people in a photo or a clip.

    Send it as the form's part `file`, or as the body itself. A photo's result has the schema of
    `keyact predict --json`.
    """
    service: Service = request.app.state.service
    recognizer = service.recognizer(model, pose)
    async with AsyncExitStack() as stack:
        stack.enter_context(service.requests.one())

        def admit(kind: Kind) -> None:
            if kind == "clip":
                stack.enter_context(service.clips.one())

        upload = await stack.enter_async_context(uploaded(request, service.settings, admit))
        if upload.kind == "photo":
            return await _photo(service, recognizer, upload, output, top_k)
        clip = Clip(service, recognizer, upload, every)
        if output == "lines":
            return StreamingResponse(
                _lines(clip, top_k, stack.pop_all()), media_type="application/x-ndjson"
            )
        results = []
        async with aclosing(clip.results()) as coming:
            async for result in coming:
                results.append(result)
                if await request.is_disconnected():  # nobody waits for the rest
                    return Response(status_code=499)
        assert clip.timeline is not None
        if output == "annotated":
            target = upload.file.with_name("annotated.mp4")
            await service.work.run(
                clip.draw, results, target, timeout=service.settings.clip_timeout, patient=True
            )
            return Response(target.read_bytes(), media_type="video/mp4")
        frames = ",".join(result.top(top_k).to_json() for result in results)
        head = json.dumps(upload.name)
        return Response(
            f'{{"source":{head},"frames":[{frames}],"timeline":{clip.timeline.to_json()}}}',
            media_type="application/json",
        )


@router.post("/v1/explain", openapi_extra=_BODY, responses=_ERRORS)
async def explain(
    request: Request,
    model: Model = None,
    pose: Pose = None,
    person: Annotated[
        int | None, Query(ge=0, description="Number from 0; the photo if none.")
    ] = None,
    label: Annotated[str | None, Query(max_length=200)] = None,
) -> dict[str, Any]:
    """Which joints an action rests on: the fall of its log-odds without each of them."""
    service: Service = request.app.state.service
    settings = service.settings
    if not (settings.explain and can_explain()):
        raise HTTPException(404, "this server does not explain")
    recognizer = service.recognizer(model, pose)
    with service.requests.one(), service.clips.one():
        async with uploaded(request, settings, _only_photos) as upload:
            image = await service.work.run(upload.pixels, settings, timeout=settings.timeout)
        result = await service.recognize(recognizer, image)
        work = partial(_explain, recognizer, image, result, person, label)
        return await service.work.run(work, timeout=settings.clip_timeout, patient=True)


def _only_photos(kind: Kind) -> None:
    if kind != "photo":
        raise HTTPException(415, "explanations are of photos")


def can_explain() -> bool:
    """Whether this installation has the code."""
    return find_spec("keyact.evaluate.explanation") is not None


def _explain(
    recognizer: Recognizer,
    image: NDArray[np.uint8],
    result: FrameResult,
    person: int | None,
    label: str | None,
) -> dict[str, Any]:
    from keyact.evaluate.explanation import explain

    boxes = np.array([one.box for one in result.people], np.float32).reshape(-1, 4)
    points = [convert(one.keypoints, one.layout, "coco17") for one in result.people]
    return explain(
        image,
        boxes,
        np.array(points, np.float32).reshape(-1, 17, 3),
        recognizer.action_model,
        label=label,
        person=person,
        jobs=1,
    ).to_json()


async def _photo(
    service: Service, recognizer: Recognizer, upload: Upload, output: str, top_k: int
) -> Response:
    settings = service.settings

    def work() -> tuple[FrameResult, bytes | None]:
        start = time.perf_counter()
        image = upload.pixels(settings)
        decode = (time.perf_counter() - start) * 1000
        result = with_decoding(recognizer(image, source=upload.name), decode)
        return result, _jpeg(image, result.top(top_k)) if output == "annotated" else None

    result, picture = await service.work.run(work, timeout=settings.timeout)
    service.metrics.seen(result)
    if picture is not None:
        return Response(picture, media_type="image/jpeg")
    kind = "application/json" if output == "json" else "application/x-ndjson"
    return Response(result.top(top_k).to_json() + "\n", media_type=kind)


def _jpeg(image: NDArray[np.uint8], result: FrameResult) -> bytes:
    import cv2

    done, encoded = cv2.imencode(".jpg", annotate(image, result), [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not done:  # wider or higher than JPEG can say
        raise InputError(f"{result.source}: too wide or too high for a JPEG; ask for json")
    return encoded.tobytes()


async def _lines(clip: Clip, top_k: int, stack: AsyncExitStack) -> AsyncIterator[str]:
    """The answer has begun, so that what goes wrong now is a last line with ``error``."""
    async with stack:
        try:
            async with aclosing(clip.results()) as coming:
                async for result in coming:
                    yield result.top(top_k).to_json() + "\n"
        except KeyactError as error:
            yield json.dumps({"error": str(error)}) + "\n"
            return
        assert clip.timeline is not None
        yield clip.timeline.to_json() + "\n"
