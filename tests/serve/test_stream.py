from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from serve_case import encoded, picture

from keyact.results import FrameResult
from keyact.serve import stream

sync = pytest.importorskip("websockets.sync.client", reason="needs the extra serve")
Start = Callable[..., tuple[str, Any]]


def connect(address: str, query: str = "", **options: Any) -> Any:
    return sync.connect(address.replace("http", "ws") + "/v1/stream" + query, **options)


def ask(socket: Any, frame: bytes) -> dict[str, Any]:
    socket.send(frame)
    answer: dict[str, Any] = json.loads(socket.recv(60))
    return answer


def closed(socket: Any) -> int:
    from websockets.exceptions import ConnectionClosed

    with pytest.raises(ConnectionClosed) as end:
        while True:
            socket.recv(60)
    return int(end.value.rcvd.code) if end.value.rcvd else 0


def test_frames_in_results_out(live: str) -> None:
    with connect(live) as socket:
        answers = [ask(socket, encoded(picture(i), "JPEG")) for i in range(5)]
    results = [FrameResult.model_validate_json(json.dumps(one["result"])) for one in answers]
    assert [one["frame"] for one in answers] == list(range(5))
    assert [result.index for result in results] == list(range(5))
    assert all(one["dropped"] == 0 and one["lag_ms"] > 0 for one in answers)
    assert [result.people[0].track_id for result in results[1:]] == [1] * 4
    times = [result.timestamp for result in results]
    assert times == sorted(times)  # type: ignore[type-var]


def test_a_sequence_network_looks_at_streams(
    start: Start, moving: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count()
    monkeypatch.setattr(stream, "monotonic", lambda: next(calls) / 20)  # two per frame: 10 fps
    address, _ = start(sequence=moving["sequence"])
    with connect(address) as socket:
        answers = [ask(socket, encoded(form="JPEG")) for _ in range(30)]
    settled = [answer["labels"].get("1", "unknown") for answer in answers]
    assert list(dict.fromkeys(settled)) == ["unknown", "arms_up"]  # then it stays
    assert answers[-1]["result"]["people"][0]["settled"] == "arms_up"
    best, *others = answers[-1]["now"]["1"]
    assert best["label"] == "arms_up"
    assert {one["label"] for one in others} >= {"red", "green", "blue"}  # both networks' actions


def test_nothing_is_said_to_be_settled_of_a_slow_stream(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count()
    monkeypatch.setattr(stream, "monotonic", lambda: next(calls) / 4)  # 2 fps
    address, _ = start()
    with connect(address) as socket:
        answers = [ask(socket, encoded(form="JPEG")) for _ in range(4)]
    assert all(answer["labels"] == {} for answer in answers[1:])
    assert answers[-1]["now"]["1"][0]["label"] == "red"


def test_a_frame_that_is_late_ends_the_stream(start: Start) -> None:
    address, service = start(timeout=0.2, workers=1)
    go = threading.Event()
    blocker = threading.Thread(target=service.work._pool.submit(go.wait, 30).result)
    blocker.start()
    with connect(address) as socket:
        socket.send(encoded())
        assert closed(socket) == 1013
    go.set()
    blocker.join(30)
    text = service.metrics.text(service).decode()
    assert 'keyact_refused_total{reason="late"} 1.0' in text


def test_an_error_inside_ends_the_stream(start: Start) -> None:
    address, service = start()

    def fail(image: Any) -> Any:
        raise RuntimeError("secret detail")

    recognizer = service.recognizer()
    recognizer._chosen = (*recognizer._chosen[:2], fail)
    recognizer.__dict__.pop("_detector", None)
    with connect(address) as socket:
        socket.send(encoded())
        assert closed(socket) == 1011


def test_a_break_makes_new_people(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = 0.0
    monkeypatch.setattr(stream, "monotonic", lambda: time.monotonic() + ahead)
    address, _ = start()
    with connect(address) as socket:
        numbers = [ask(socket, encoded())["result"]["people"][0]["track_id"] for _ in range(3)]
        ahead = 500.0
        numbers += [ask(socket, encoded())["result"]["people"][0]["track_id"] for _ in range(3)]
    assert numbers == [None, 1, 1, None, 2, 2]


def test_without_tracks(live: str) -> None:
    with connect(live, "?track=false&model=other-action") as socket:
        for _ in range(2):
            answer = ask(socket, encoded())
    assert answer["labels"] == {}
    assert answer["result"]["people"][0]["track_id"] is None
    assert answer["result"]["model"] == "other-action"


def test_the_newest_frame_wins(start: Start) -> None:
    address, service = start()
    go, begun = threading.Event(), threading.Event()
    inner = service._detector

    def wait(image: Any) -> Any:
        begun.set()
        assert go.wait(60)
        return inner(image)

    for recognizer in (service.recognizer(),):
        recognizer._chosen = (*recognizer._chosen[:2], wait)
        recognizer.__dict__.pop("_detector", None)
    with connect(address) as socket:
        socket.send(encoded())
        assert begun.wait(60)
        for i in range(1, 10):
            socket.send(encoded(picture(i)))
        end = time.monotonic() + 60
        while service.metrics.dropped._value.get() < 8 and time.monotonic() < end:
            time.sleep(0.01)
        go.set()
        first, second = (json.loads(socket.recv(60)) for _ in range(2))
    assert (first["frame"], second["frame"]) == (0, 9)  # never more than one frame behind
    assert second["dropped"] == 8


def test_a_bad_frame_is_told_and_the_rest_goes_on(live: str) -> None:
    with connect(live) as socket:
        assert "frame 0" in ask(socket, b"no photo")["error"]
        assert ask(socket, encoded())["result"]["people"]


@pytest.mark.parametrize(
    ("query", "message", "code"),
    [
        ("", "text", 1003),
        ("", b"\xff\xd8\xff" + bytes(2500), 1009),
        ("", b"\xff\xd8\xff" + bytes(10_000), 1009),
        ("?model=no-such-model", None, 1008),
        ("?pose=/etc/passwd", None, 1008),
    ],
)
def test_what_ends_a_stream(start: Start, query: str, message: Any, code: int) -> None:
    address, service = start(max_frame_bytes=2000)
    with connect(address, query) as socket:
        if message is not None:
            socket.send(message)
        assert closed(socket) == code
    end = time.monotonic() + 30
    while service.streams.taken and time.monotonic() < end:
        time.sleep(0.01)
    assert service.streams.taken == 0


def test_one_stream_too_many(start: Start) -> None:
    address, _ = start(max_streams=1)
    with connect(address) as first:
        assert ask(first, encoded())["result"]
        with connect(address) as second:
            assert closed(second) == 1013
        assert ask(first, encoded())["result"]


def test_a_silent_stream_is_closed(start: Start) -> None:
    address, _ = start(idle_timeout=0.3)
    with connect(address) as socket:
        assert closed(socket) == 1001


def test_streams_end_when_the_server_drains(start: Start) -> None:
    address, service = start()
    with connect(address) as socket:
        assert ask(socket, encoded())["result"]
        service.drain()
        socket.send(encoded())
        assert closed(socket) == 1012


def test_the_wrong_origin_and_no_token(start: Start) -> None:
    from websockets.exceptions import InvalidStatus

    address, _ = start(token="correct-horse-battery")
    for options in (
        {},
        {"additional_headers": {"Authorization": "Bearer wrong"}},
        {
            "origin": "https://evil.example",
            "additional_headers": {"Authorization": "Bearer correct-horse-battery"},
        },
    ):
        with pytest.raises(InvalidStatus):
            connect(address, **options)
    with connect(
        address, additional_headers={"Authorization": "Bearer correct-horse-battery"}
    ) as socket:
        assert ask(socket, encoded())["result"]
