"""The Open Inference Protocol, version 2: what clients of KServe and Triton speak."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import numpy as np
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from keyact.errors import InputError, UnknownNameError
from keyact.layouts import convert
from keyact.recognizer import Recognizer
from keyact.results import FrameResult
from keyact.serve.service import Service
from keyact.serve.settings import ServeSettings
from keyact.serve.tensors import HEADER, InferRequest, Tensor, read_request, write_response
from keyact.serve.uploads import decode_photo

router = APIRouter(tags=["Open Inference Protocol"])
models = APIRouter(tags=["Open Inference Protocol"])
"""What needs the models."""

_VERSIONS = ["1"]
_INPUTS = [
    {"name": "encoded", "datatype": "BYTES", "shape": [-1]},
    {"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
]


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


@router.get("/v2/health/live")
def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@router.get("/v2/health/ready")
def ready(request: Request) -> Response:
    """200 when the models are loaded and new work is accepted, 503 otherwise."""
    is_ready = _service(request).ready
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


@router.get("/v2")
@router.get("/v2/", include_in_schema=False)
def server() -> dict[str, Any]:
    """What the server is."""
    return {
        "name": "keyact",
        "version": version("keyact"),
        "extensions": ["binary_tensor_data"],
    }


@models.get("/v2/models/{model}")
@models.get("/v2/models/{model}/versions/{number}", include_in_schema=False)
def model(request: Request, model: str, number: str = "1") -> dict[str, Any]:
    """Tensors in and out. Give one of the inputs: files, or pixels of photos of one size.

    ``labels`` in ``parameters`` are the columns of the probabilities.
    """
    service, labels = _service(request), _labels(_service(request), model, number)
    joints = 17
    outputs = {
        "results": ("BYTES", [-1]),
        "photo_actions": ("BYTES", [-1]),
        "photo_probabilities": ("FP32", [-1, len(labels)]),
        "photo": ("INT32", [-1]),
        "actions": ("BYTES", [-1]),
        "probabilities": ("FP32", [-1, len(labels)]),
        "boxes": ("FP32", [-1, 4]),
        "box_scores": ("FP32", [-1]),
        "keypoints": ("FP32", [-1, joints, 3]),
    }
    return {
        "name": model,
        "versions": _VERSIONS,
        "platform": "keyact_onnxruntime",
        "inputs": _INPUTS,
        "outputs": [
            {"name": name, "datatype": kind, "shape": shape}
            for name, (kind, shape) in outputs.items()
        ],
        "parameters": {
            "labels": list(labels),
            "poses": list(service.choice.poses),
            "keypoints": "coco17",
            "max_photos": service.settings.max_photos,
        },
    }


@router.get("/v2/models/{model}/ready")
@router.get("/v2/models/{model}/versions/{number}/ready", include_in_schema=False)
def model_ready(request: Request, model: str, number: str = "1") -> Response:
    """200 when the model can be used."""
    service = _service(request)
    if not service.ready:
        return JSONResponse({"name": model, "ready": False}, 503)
    _labels(service, model, number)
    return JSONResponse({"name": model, "ready": True})


@models.post(
    "/v2/models/{model}/infer",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {}, "application/octet-stream": {}},
        }
    },
)
@models.post("/v2/models/{model}/versions/{number}/infer", include_in_schema=False)
async def infer(request: Request, model: str, number: str = "1") -> Response:
    """Recognise the photos of one request; JSON or binary tensors in and out.

    Parameters of the request: ``pose``, and of the input ``image``: ``channels``, "rgb" (the
    default) or "bgr".
    """
    service = _service(request)
    labels = _labels(service, model, number)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "send the request as it is, without a Content-Encoding")
    with service.requests.one():
        body, length = await request.body(), request.headers.get(HEADER)

        def read() -> tuple[InferRequest, Recognizer, list[NDArray[np.uint8]]]:
            asked = read_request(body, length)
            pose = asked.parameters.get("pose")
            recognizer = service.recognizer(model, None if pose is None else str(pose))
            return asked, recognizer, _photos(service.settings, asked)

        # In a worker: a large body of JSON would keep all others waiting.
        asked, recognizer, photos = await service.work.run(read, timeout=service.settings.timeout)
        results = await asyncio.gather(
            *(
                service.recognize(recognizer, photo, source=f"photo {i}", index=i)
                for i, photo in enumerate(photos)
            )
        )
    outputs = _tensors(results, labels)
    if asked.outputs is not None:
        unknown = [name for name in asked.outputs if name not in outputs]
        if unknown:
            raise UnknownNameError("output", unknown[0], outputs)
        outputs = {name: outputs[name] for name in asked.outputs}
    answer, size = write_response(
        {"model_name": model, "model_version": number, "id": asked.id},
        outputs,
        asked.outputs or dict.fromkeys(outputs, asked.binary),
    )
    if size is None:
        return Response(answer, media_type="application/json")
    return Response(answer, media_type="application/octet-stream", headers={HEADER: str(size)})


def _labels(service: Service, model: str, number: str) -> tuple[str, ...]:
    if number not in _VERSIONS:
        raise UnknownNameError("version", number, _VERSIONS)
    return tuple(service.recognizer(model).action_model.labels)


def _photos(settings: ServeSettings, asked: InferRequest) -> list[NDArray[np.uint8]]:
    if len(asked.inputs) != 1 or not asked.inputs.keys() <= {"encoded", "image"}:
        raise InputError("give one input: 'encoded' (files) or 'image' (pixels)")
    ((name, (tensor, parameters)),) = asked.inputs.items()
    if not 1 <= len(tensor) <= settings.max_photos:
        raise InputError(f"a request has 1 to {settings.max_photos} photos, not {len(tensor)}")
    if name == "encoded":
        if not isinstance(tensor, list):
            raise InputError("input 'encoded' is BYTES")
        for data in tensor:
            if len(data) > settings.max_photo_bytes:
                raise HTTPException(413, f"a photo has at most {settings.max_photo_bytes} bytes")
        return [decode_photo(data, f"photo {i}", settings) for i, data in enumerate(tensor)]
    if isinstance(tensor, list) or tensor.ndim != 4 or tensor.shape[3] != 3 or not tensor.size:
        raise InputError("input 'image' is UINT8 of shape (photos, height, width, 3)")
    if tensor.shape[1] * tensor.shape[2] > settings.max_pixels:
        raise InputError(f"a photo has at most {settings.max_pixels} pixels")
    channels = parameters.get("channels", "rgb")
    if channels not in ("rgb", "bgr"):
        raise InputError(f"channels is 'rgb' or 'bgr', not {str(channels)[:20]!r}")
    step = 1 if channels == "bgr" else -1
    return [np.ascontiguousarray(photo[..., ::step]) for photo in tensor]


def _tensors(results: list[FrameResult], labels: tuple[str, ...]) -> dict[str, Tensor]:
    people = [(i, person) for i, result in enumerate(results) for person in result.people]
    column = {label: i for i, label in enumerate(labels)}

    def rows(many: list[Any]) -> NDArray[np.float32]:
        table = np.zeros((len(many), len(labels)), np.float32)
        for row, actions in zip(table, many, strict=True):
            for one in actions:
                row[column[one.label]] = one.probability
        return table

    points = [convert(person.keypoints, person.layout, "coco17") for _, person in people]
    return {
        "results": [result.top(5).to_json().encode() for result in results],
        "photo_actions": [result.image_action.encode() for result in results],
        "photo_probabilities": rows([result.image_actions for result in results]),
        "photo": np.array([i for i, _ in people], np.int32),
        "actions": [person.action.encode() for _, person in people],
        "probabilities": rows([person.actions for _, person in people]),
        "boxes": np.array([person.box for _, person in people], np.float32).reshape(-1, 4),
        "box_scores": np.array([person.box_score for _, person in people], np.float32),
        "keypoints": np.array(points, np.float32).reshape(-1, 17, 3),
    }
