from __future__ import annotations

import http.client
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from serve_case import LABELS, encoded

from keyact.recognizer import Recognizer
from keyact.results import FrameResult
from keyact.serve import ServeSettings, Service, create_app
from keyact.timeline import VideoTimeline

HOST = "http://127.0.0.1"


def app_client(networks: dict[str, Any], **more: Any) -> TestClient:
    return TestClient(create_app(ServeSettings(**{**networks, **more})), HOST)


@pytest.fixture(scope="module")
def client(networks: dict[str, Any]) -> Iterator[TestClient]:
    with app_client(networks) as client:
        yield client


@pytest.fixture
def limited(networks: dict[str, Any]) -> Iterator[TestClient]:
    limits = {
        "max_photo_bytes": 3000, "max_clip_bytes": 100_000, "max_pixels": 20_000, "max_frames": 10,
        "max_clips": 1,
    }  # fmt: skip
    with app_client(networks, **limits) as client:
        yield client


def test_a_photo_in_a_form_and_as_the_body(client: TestClient) -> None:
    form = client.post("/v1/predict", files={"file": ("one.png", encoded())})
    body = client.post("/v1/predict", content=encoded(), headers={"x-file-name": "one.png"})
    results = [FrameResult.from_json(answer.text.strip()) for answer in (form, body)]
    assert form.status_code == 200
    assert results[0].model_copy(update={"timings_ms": {}}) == results[1].model_copy(
        update={"timings_ms": {}}
    )
    assert (results[0].source, len(results[0].people)) == ("one.png", 1)


def test_the_answer_is_that_of_the_library(
    client: TestClient, networks: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "one.png"
    file.write_bytes(encoded())
    library = Recognizer(networks["models"][0], networks["poses"][0], networks["detector"])(file)
    answer = FrameResult.from_json(client.post("/v1/predict", content=encoded()).text.strip())
    assert answer.people == library.people
    assert answer.image_actions == library.image_actions


@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_actions_as_asked_for(client: TestClient, count: int) -> None:
    answer = client.post(f"/v1/predict?top_k={count}", content=encoded()).json()
    assert len(answer["people"][0]["actions"]) == len(answer["image_actions"]) == count


def test_an_annotated_photo(client: TestClient) -> None:
    answer = client.post("/v1/predict?output=annotated", content=encoded())
    assert answer.headers["content-type"] == "image/jpeg"
    picture = np.asarray(Image.open(io.BytesIO(answer.content)))
    plain = np.asarray(Image.open(io.BytesIO(encoded())))
    assert picture.shape == plain.shape
    assert (np.abs(picture.astype(int) - plain).max(2) > 40).mean() > 0.01


def test_a_clip(client: TestClient, clip: Path) -> None:
    answer = client.post("/v1/predict?every=2", files={"file": ("walk.mp4", clip.read_bytes())})
    found = answer.json()
    frames = [FrameResult.model_validate_json(json.dumps(one)) for one in found["frames"]]
    timeline = VideoTimeline.from_json(json.dumps(found["timeline"]))
    assert [frame.index for frame in frames] == list(range(0, 24, 2))
    assert {frame.source for frame in frames} == {timeline.source} == {"walk.mp4"}
    assert {person.track_id for frame in frames[2:] for person in frame.people} == {1}
    assert [segment.label for segment in timeline.people[0].segments] == ["red"]


def test_a_clip_line_by_line(client: TestClient, clip: Path) -> None:
    answer = client.post("/v1/predict?output=lines", content=clip.read_bytes())
    *frames, last = answer.text.splitlines()
    assert len([FrameResult.from_json(line) for line in frames]) == 24
    assert VideoTimeline.from_json(last).people
    assert client.app.state.service.clips.taken == 0  # type: ignore[attr-defined]


def test_a_sequence_network_looks_at_clips(moving: dict[str, Any], clip: Path) -> None:
    with app_client(moving) as client:
        sequence = client.get("/v1/models").json()["models"][0]["sequence"]
        found = client.post("/v1/predict", content=clip.read_bytes()).json()["timeline"]
    assert (sequence["name"], sequence["labels"]) == ("tiny-sequence", ["arms_up", "arms_down"])
    assert found["models"] == ["tiny-sequence", "tiny-action"]
    (segment,) = found["people"][0]["segments"]
    assert segment["label"] == "arms_up"
    assert segment["end"] - segment["start"] > 1


def test_an_annotated_clip(client: TestClient, clip: Path) -> None:
    answer = client.post("/v1/predict?output=annotated", content=clip.read_bytes())
    assert answer.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(answer.content)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 24
    assert frames[0].shape == (96, 128, 3)


def test_a_damaged_clip_line_by_line_ends_with_the_error(client: TestClient, clip: Path) -> None:
    data = clip.read_bytes()
    broken = data[:200] + bytes(len(data) - 200)
    *_, last = client.post("/v1/predict?output=lines", content=broken).text.splitlines()
    assert "upload" in json.loads(last)["error"]


@pytest.mark.parametrize("output", ["json", "lines"])
def test_a_clip_nobody_waits_for_is_given_up(
    start: Callable[..., tuple[str, Any]], clip: Path, output: str
) -> None:
    address, service = start()
    begun, go = threading.Event(), threading.Event()
    recognizer = service.recognizer()
    inner = recognizer._chosen[2]

    def wait(image: Any) -> Any:
        begun.set()
        assert go.wait(60)
        return inner(image)

    recognizer._chosen = (*recognizer._chosen[:2], wait)
    recognizer.__dict__.pop("_detector", None)
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.request("POST", f"/v1/predict?output={output}", clip.read_bytes())
    assert begun.wait(60)
    assert service.clips.taken == 1
    connection.close()
    time.sleep(0.2)
    go.set()
    end = time.monotonic() + 60
    while service.clips.taken and time.monotonic() < end:
        time.sleep(0.01)
    assert service.clips.taken == 0
    assert service.metrics.frames._value.get() < 24


def bomb() -> bytes:
    return encoded(np.zeros((200, 200, 3), np.uint8))


@pytest.mark.parametrize(
    ("query", "content", "status", "text"),
    [
        ("", b"", 422, "empty"),
        ("", b"hello, this is no photo", 415, "neither a photo"),
        ("", b"#EXTM3U\nhttp://example.org/x.ts\n", 415, "neither a photo"),
        ("", b"http://127.0.0.1/photo.jpg", 415, "neither a photo"),
        ("", b"/etc/passwd", 415, "neither a photo"),
        ("", encoded()[:120], 422, "upload: the photo"),
        ("", bomb(), 422, "megapixels"),
        ("", b"\x89PNG" + bytes(5000), 413, "at most 3000"),
        ("", b"OggS" + bytes(100_001), 413, "at most 100000"),
        ("", b"OggS" + bytes(9000), 422, "upload: cannot be decoded"),
        ("?model=tiny-actoin", encoded(), 404, "did you mean 'tiny-action'"),
        ("?pose=/etc/passwd", encoded(), 404, "unknown pose backend"),
        ("?model=http://example.org/m.onnx", encoded(), 404, "unknown model"),
        ("?output=html", encoded(), 422, "output"),
        ("?top_k=0", encoded(), 422, "top_k"),
        ("?every=0", encoded(), 422, "every"),
    ],
)
def test_what_is_refused(
    limited: TestClient, query: str, content: bytes, status: int, text: str
) -> None:
    answer = limited.post(f"/v1/predict{query}", content=content)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert text in error
    assert "/tmp" not in error and "Traceback" not in error
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("output", ["json", "lines", "annotated"])
def test_a_clip_of_too_many_frames(limited: TestClient, clip: Path, output: str) -> None:
    answer = limited.post(f"/v1/predict?output={output}", content=clip.read_bytes())
    assert answer.status_code == 422
    assert "more than 10 frames" in answer.json()["error"]
    assert limited.post("/v1/predict?every=3", content=clip.read_bytes()).status_code == 200


def test_a_body_that_says_it_is_too_large_is_not_read(limited: TestClient) -> None:
    answer = limited.post(
        "/v1/predict", content=iter([b"x"]), headers={"content-length": str(10**12)}
    )
    assert answer.status_code == 413


def test_a_form_without_a_file(client: TestClient) -> None:
    for form in ({"files": {"file": (None, "text")}}, {"files": {"other": b"x"}}):
        assert client.post("/v1/predict", **form).status_code == 422  # type: ignore[arg-type]


def test_compressed_bodies_are_refused(client: TestClient) -> None:
    answer = client.post("/v1/predict", content=b"x", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\one.jpg", "one.jpg"),
        ("a\x00b\n.jpg", "a_b_.jpg"),
        ("", "upload"),
        ("<img src=x>", "_img src_x_"),
        ("x" * 300, "x" * 100),
    ],
)
def test_names_are_only_names(given: str, shown: str) -> None:
    from keyact.serve.uploads import clean_name

    assert clean_name(given) == shown


class Blocked:
    """A service whose detector waits."""

    def __init__(self, service: Service) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        service.load()
        inner = service._detector

        def wait(image: Any) -> Any:
            self.begun.set()
            assert self.go.wait(30)
            return inner(image)  # type: ignore[misc]

        service._detector = wait  # type: ignore[assignment]


def test_a_full_queue_and_late_work(networks: dict[str, Any]) -> None:
    service = Service(ServeSettings(**networks, workers=1, queue=0, timeout=0.5))
    blocked = Blocked(service)
    with TestClient(create_app(service=service), HOST) as client:
        late: list[Any] = []
        thread = threading.Thread(
            target=lambda: late.append(client.post("/v1/predict", content=encoded()))
        )
        thread.start()
        assert blocked.begun.wait(30)
        refused = client.post("/v1/predict", content=encoded())
        thread.join(30)
        blocked.go.set()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert late[0].status_code == 503
        text = client.get("/metrics").text
    assert 'keyact_refused_total{reason="busy"} 1.0' in text
    assert 'keyact_refused_total{reason="late"} 1.0' in text


def begin(address: str, path: str, head: bytes) -> http.client.HTTPConnection:
    """A request of which no more than its beginning is sent."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", path)
    connection.putheader("content-length", "100000")
    connection.endheaders(head)
    return connection


def test_one_clip_too_many_is_refused_before_it_is_received(
    start: Callable[..., tuple[str, Any]], clip: Path
) -> None:
    address, service = start(max_clips=1)
    with service.clips.one():
        for path, head in (
            ("/v1/predict", clip.read_bytes()[:600]),
            ("/v1/explain", b""),  # explanations take as long
        ):
            answer = begin(address, path, head).getresponse()
            assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert begin(address, "/v1/explain", clip.read_bytes()[:600]).getresponse().status == 415
    assert service.clips.taken == 0


def test_an_upload_that_stops_on_the_way_is_given_up(
    start: Callable[..., tuple[str, Any]],
) -> None:
    address, service = start(idle_timeout=0.2)
    for path in ("/v1/predict", "/v2/models/tiny-action/infer"):
        answer = begin(address, path, b"{").getresponse()
        assert answer.status == 408
        assert answer.headers["connection"] == "close"
    assert service.requests.taken == 0


def test_requests_are_bounded_while_they_are_received(networks: dict[str, Any]) -> None:
    service = Service(ServeSettings(**networks, workers=1, queue=0, max_clips=1))
    with TestClient(create_app(service=service), HOST) as client:
        with service.requests.one(), service.requests.one():
            for path in ("/v1/predict", "/v1/explain", "/v2/models/tiny-action/infer"):
                assert client.post(path, content=b"{").status_code == 429
        assert client.post("/v1/predict", content=encoded()).status_code == 200


def test_not_ready_before_the_models_are_loaded_nor_when_draining(
    networks: dict[str, Any],
) -> None:
    client = app_client(networks)  # not entered: nothing is loaded
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v2/health/ready").status_code == 503
    assert client.post("/v1/predict", content=encoded()).status_code == 503
    with client:
        assert client.get("/v2/health/ready").status_code == 200
        client.app.state.service.drain()  # type: ignore[attr-defined]
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/ready").status_code == 503
        answer = client.post("/v1/predict", content=encoded())
        assert (answer.status_code, answer.json()["error"]) == (503, "shutting down")


def test_an_error_inside_is_not_told_to_the_client(networks: dict[str, Any]) -> None:
    service = Service(ServeSettings(**networks))
    service.load()

    def fail(image: Any) -> Any:
        raise RuntimeError("secret detail")

    service._detector = fail  # type: ignore[assignment]
    app = create_app(service=service)
    with TestClient(app, HOST, raise_server_exceptions=False) as client:
        answer = client.post("/v1/predict", content=encoded())
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_models_says_what_may_be_chosen(client: TestClient) -> None:
    found = client.get("/v1/models").json()
    assert [model["name"] for model in found["models"]] == ["tiny-action", "other-action"]
    assert found["models"][0]["labels"] == list(LABELS)
    assert found["layouts"]["coco17"]["joints"][0] == "nose"
    assert client.post("/v1/predict?model=other-action", content=encoded()).json()["model"] == (
        "other-action"
    )


def test_joints_are_explained(client: TestClient) -> None:
    found = client.post("/v1/explain?person=0", content=encoded()).json()
    assert found["label"] in LABELS
    assert len(found["people"][0]["joints"]) == 17
    for query, status in (("?person=7", 404), ("?person=0&label=nothing", 404)):
        assert client.post(f"/v1/explain{query}", content=encoded()).status_code == status


def test_request_ids(client: TestClient) -> None:
    given = client.get("/v2", headers={"x-request-id": "my-id.1"})
    assert given.headers["x-request-id"] == "my-id.1"
    for bad in ("a b", "x" * 65, "<script>"):
        made = client.get("/v2", headers={"x-request-id": bad}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", made)


def test_metrics(client: TestClient) -> None:
    before = client.get("/metrics").text
    client.post("/v1/predict", content=encoded())
    client.get("/no/such/path")
    after = client.get("/metrics").text

    def value(text: str, line: str) -> float:
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    for line in (
        'keyact_requests_total{method="POST",route="/v1/predict",status="200"}',
        'keyact_requests_total{method="GET",route="other",status="404"}',
        "keyact_frames_total",
        "keyact_people_total",
        'keyact_stage_seconds_count{stage="pose"}',
        'keyact_batch_rows_count{network="detector"}',
    ):
        assert value(after, line) == value(before, line) + 1, line
    assert value(after, "keyact_ready") == 1
    assert "/no/such/path" not in after


def test_the_openapi_document(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert {"/v1/predict", "/v1/models", "/v2/models/{model}/infer", "/metrics"} <= set(
        document["paths"]
    )
    assert "securitySchemes" not in document["components"]
    for path in ("/docs", "/redoc"):  # they would fetch scripts from elsewhere
        assert client.get(path).status_code == 404


def test_log_lines_are_json(networks: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    from keyact.serve.logs import set_up_logs

    set_up_logs("json")
    try:
        with app_client(networks) as client:
            client.post("/v1/predict", content=encoded(), headers={"x-request-id": "a1"})
    finally:
        set_up_logs("off")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (line,) = [line for line in lines if line["message"] == "answered"]
    assert (line["request_id"], line["status"], line["route"]) == ("a1", 200, "/v1/predict")
