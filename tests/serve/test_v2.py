from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from serve_case import LABELS, encoded, picture

from keyact.errors import InputError
from keyact.recognizer import Recognizer
from keyact.results import FrameResult
from keyact.serve import ServeSettings, create_app
from keyact.serve.tensors import read_request, write_response

HEADER = "Inference-Header-Content-Length"


@pytest.fixture
def triton(live: str) -> Any:
    http = pytest.importorskip("tritonclient.http", reason="needs: pip install tritonclient[http]")
    return http.InferenceServerClient(live.removeprefix("http://"), network_timeout=60)


@pytest.fixture
def expected(networks: dict[str, Any]) -> FrameResult:
    recognizer = Recognizer(networks["models"][0], networks["poses"][0], networks["detector"])
    return recognizer(np.ascontiguousarray(picture()[..., ::-1]))


def test_triton_asks_how_it_is(triton: Any) -> None:
    assert triton.is_server_live() and triton.is_server_ready()
    assert triton.is_model_ready("tiny-action")
    assert triton.is_model_ready("tiny-action", "1")
    assert not triton.is_model_ready("no-such-model")
    assert not triton.is_model_ready("tiny-action", "2")
    assert triton.get_server_metadata()["name"] == "keyact"
    metadata = triton.get_model_metadata("tiny-action")
    assert metadata["parameters"]["labels"] == list(LABELS)
    assert {tensor["name"] for tensor in metadata["inputs"]} == {"image", "encoded"}


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("name", ["image", "encoded"])
def test_triton_infers(
    triton: Any, expected: FrameResult, name: str, binary_in: bool, binary_out: bool
) -> None:
    import tritonclient.http as http

    if name == "image":
        data = np.stack([picture(), picture()])
        given = http.InferInput("image", data.shape, "UINT8")
    else:
        import base64

        files = [encoded(), encoded()]
        data = np.array(files if binary_in else [base64.b64encode(one) for one in files], object)
        given = http.InferInput("encoded", data.shape, "BYTES")
    given.set_data_from_numpy(data, binary_data=binary_in)
    outputs = [
        http.InferRequestedOutput(one, binary_data=binary_out)
        for one in ("results", "photo", "boxes", "keypoints", "probabilities", "actions")
    ]
    found = triton.infer("tiny-action", [given], outputs=outputs, request_id="7")
    assert found.get_response()["id"] == "7"
    results = [FrameResult.from_json(line) for line in found.as_numpy("results").tolist()]
    assert [result.people for result in results] == [expected.people] * 2
    (person,) = expected.people
    np.testing.assert_array_equal(found.as_numpy("photo"), [0, 1])
    np.testing.assert_allclose(found.as_numpy("boxes"), [person.box] * 2, atol=1e-3)
    np.testing.assert_allclose(found.as_numpy("keypoints"), [person.keypoints] * 2, atol=1e-3)
    ranked = {action.label: action.probability for action in person.actions}
    np.testing.assert_allclose(
        found.as_numpy("probabilities"), [[ranked[label] for label in LABELS]] * 2, atol=1e-4
    )
    named = person.action.encode() if binary_out else person.action
    assert found.as_numpy("actions").tolist() == [named] * 2


def test_triton_gets_all_outputs_when_it_names_none(triton: Any) -> None:
    import tritonclient.http as http

    given = http.InferInput("image", (1, 40, 50, 3), "UINT8")
    given.set_data_from_numpy(np.full((1, 40, 50, 3), 200, np.uint8))  # nobody in it
    found = triton.infer("tiny-action", [given])
    assert found.as_numpy("boxes").shape == (0, 4)
    assert found.as_numpy("keypoints").shape == (0, 17, 3)
    assert found.as_numpy("photo_probabilities").shape == (1, 3)


def test_triton_is_told_what_is_wrong(triton: Any) -> None:
    import tritonclient.http as http
    from tritonclient.utils import InferenceServerException

    given = http.InferInput("encoded", (1,), "BYTES")
    given.set_data_from_numpy(np.array([b"no photo"], object))
    with pytest.raises(InferenceServerException, match="not a photo"):
        triton.infer("tiny-action", [given])
    with pytest.raises(InferenceServerException, match="did you mean"):
        triton.infer("tiny-actoin", [given])


@pytest.fixture(scope="module")
def client(networks: dict[str, Any]) -> Any:
    with TestClient(create_app(ServeSettings(**networks)), "http://127.0.0.1") as client:
        yield client


def tensor(**changes: Any) -> dict[str, Any]:
    base = {"name": "image", "shape": [1, 1, 1, 3], "datatype": "UINT8", "data": [1, 2, 3]}
    return {**base, **changes}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "bad inference request"),
        ({"inputs": []}, "give one input"),
        ({"inputs": [tensor(), tensor(name="encoded")]}, "give one input"),
        ({"inputs": [tensor(name="other")]}, "give one input"),
        ({"inputs": [tensor(data=[1, 2])]}, "does not fit shape"),
        ({"inputs": [tensor(data=[1, 2, 300])]}, "0 to 255"),
        ({"inputs": [tensor(data=[1, 2, "x"])]}, "does not fit shape"),
        ({"inputs": [tensor(data=[[1], 2, 3])]}, "does not fit shape"),
        ({"inputs": [tensor(data=None)]}, "neither data"),
        ({"inputs": [tensor(shape=[1, -1, 1, 3])]}, "below 0"),
        ({"inputs": [tensor(shape=[3])]}, "shape (photos"),
        ({"inputs": [tensor(shape=[2**40, 2**40, 2**40, 3])]}, "does not fit shape"),
        ({"inputs": [tensor(datatype="FP64")]}, "UINT8 or BYTES"),
        ({"inputs": [tensor(parameters={"channels": "hsv"})]}, "'rgb' or 'bgr'"),
        ({"inputs": [tensor(parameters={"binary_data_size": 3})]}, "does not fit"),
        ({"inputs": [tensor(parameters={"binary_data_size": -3})]}, "does not fit"),
        ({"inputs": [tensor(name="encoded", datatype="BYTES", shape=[1], data=["?"])]}, "base64"),
        ({"inputs": [tensor(shape=[9, 1, 1, 3], data=[0] * 27)]}, "1 to 8 photos"),
    ],
)
def test_what_is_no_request(client: Any, body: Any, text: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = client.post("/v2/models/tiny-action/infer", content=content)
    assert answer.status_code == 422
    assert text in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "99999", "1e3"])
def test_a_wrong_header_length(client: Any, length: str) -> None:
    answer = client.post("/v2/models/tiny-action/infer", content=b"{}", headers={HEADER: length})
    assert answer.status_code == 422


def test_channels(client: Any) -> None:
    pixels = picture()

    def boxes(data: np.ndarray, **parameters: str) -> Any:
        values = data.ravel().tolist()
        given = tensor(shape=[1, *data.shape], data=values, parameters=parameters)
        body = {"inputs": [given], "outputs": [{"name": "boxes"}]}
        return client.post("/v2/models/tiny-action/infer", json=body).json()["outputs"][0]["data"]

    assert boxes(pixels) == boxes(pixels[..., ::-1], channels="bgr") != []
    assert boxes(pixels[..., ::-1]) == []  # what is red here would be blue


@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=5),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_tensors_survive_the_way_there_and_back(
    elements: list[bytes], rows: int, wide: int
) -> None:
    numbers = np.arange(rows * wide, dtype=np.float32).reshape(rows, wide)
    body, length = write_response(
        {"id": "x"}, {"a": elements, "b": numbers}, {"a": True, "b": True}
    )
    assert length is not None
    head = json.loads(body[:length])
    sizes = [one["parameters"]["binary_data_size"] for one in head["outputs"]]
    assert sum(sizes) == len(body) - length
    assert np.frombuffer(body[length + sizes[0] :], "<f4").tolist() == numbers.ravel().tolist()
    asked = {"inputs": [{"name": "a", "shape": [len(elements)], "datatype": "BYTES",
                         "parameters": {"binary_data_size": sizes[0]}}]}  # fmt: skip
    text = json.dumps(asked).encode()
    back = read_request(text + body[length : length + sizes[0]], str(len(text)))
    assert back.inputs["a"][0] == elements


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=5)))
def test_no_body_breaks_the_reader(body: bytes, length: str | None) -> None:
    with suppress(InputError):
        read_request(body, length)
