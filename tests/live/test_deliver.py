from __future__ import annotations

import http.server
import json
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyact.errors import InputError
from keyact.live.deliver import TRIES, WAITING, Delivery, DeliveryError, command, webhook
from keyact.live.events import Event

EVENT = Event(
    time="2026-01-02T03:04:05.678+00:00", source="rtsp://door/1", frame=7, seconds=0.7,
    label="field hockey", probability=0.91, track_id=3, box=(1.0, 2.0, 3.0, 4.0),
    rule="field hockey>0.8",
)  # fmt: skip


def python(code: str) -> str:
    return shlex.join([sys.executable, "-I", "-c", code])


def test_a_command_gets_the_event_as_json_and_in_its_environment(tmp_path: Path) -> None:
    target = tmp_path / "told.json"
    code = (
        "import json, os, sys; "
        "known = {k: v for k, v in os.environ.items() if k.startswith('KEYACT_')}; "
        f"json.dump([json.load(sys.stdin), known], open({str(target)!r}, 'w'))"
    )
    send = command(python(code))
    send(EVENT)
    event, known = json.loads(target.read_text())
    assert event == json.loads(EVENT.to_json())
    assert known["KEYACT_LABEL"] == "field hockey" and known["KEYACT_TRACK"] == "3"
    send(replace(EVENT, track_id=None, label="$(touch x); `y`"))
    _, known = json.loads(target.read_text())
    assert (known["KEYACT_TRACK"], known["KEYACT_LABEL"]) == ("", "$(touch x); `y`")


def test_no_shell_reads_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command(python("import sys; open('args', 'w').write(repr(sys.argv[1:]))") + " '*' \\; $HOME")(
        EVENT
    )
    assert Path("args").read_text() == "['*', ';', '$HOME']"


@pytest.mark.parametrize(
    ("code", "timeout", "message"),
    [("raise SystemExit(3)", 30, "status 3"), ("import time; time.sleep(60)", 0.3, "0.3 s")],
)
def test_commands_that_fail(code: str, timeout: float, message: str) -> None:
    with pytest.raises(DeliveryError, match=message):
        command(python(code), timeout)(EVENT)


@pytest.mark.parametrize("line", ["", "no-such-program-at-all x", "'unclosed"])
def test_commands_that_cannot_be(line: str) -> None:
    with pytest.raises(InputError):
        command(line)


class Hook:
    """A server that gives the listed answers, then 200."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.got: list[tuple[str, dict]] = []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((self.headers["Content-Type"], json.loads(body)))
                self.send_response(hook.answers.pop(0) if hook.answers else 200)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            do_GET = do_POST

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/events?key=secret"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize(
    ("answers", "tries", "wrong"),
    [
        ([], 1, None),
        ([204], 1, None),
        ([503, 429], 3, None),
        ([500] * 3, 3, "answered 500, 3 times"),
        ([404], 1, "answered 404"),
        ([302], 1, "answered 302"),  # it goes where the operator said, and nowhere else
    ],
)
def test_a_webhook(hook: Hook, answers: list[int], tries: int, wrong: str | None) -> None:
    hook.answers, hook.got = list(answers), []
    send = webhook(hook.address, pause=0)
    if wrong is None:
        send(EVENT)
    else:
        with pytest.raises(DeliveryError, match=wrong) as failed:
            send(EVENT)
        assert "secret" not in str(failed.value)
    assert hook.got == [("application/json", json.loads(EVENT.to_json()))] * tries


def test_nobody_answers() -> None:
    with pytest.raises(DeliveryError, match=f"refused.*, {TRIES} times"):
        webhook("http://127.0.0.1:1/x", pause=0)(EVENT)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://x/y", "http://", "nonsense",
                                     "http://me:secret@x/y"])  # fmt: skip
def test_what_is_no_webhook(address: str) -> None:
    with pytest.raises(InputError) as refused:
        webhook(address)
    assert "secret@" not in str(refused.value)


def test_frames_never_wait_and_what_does_not_fit_is_counted() -> None:
    gate, sent = threading.Event(), []

    def send(event: Event) -> None:
        gate.wait(30)
        sent.append(event.frame)

    delivery = Delivery("slow", send)
    start = time.monotonic()
    for number in range(WAITING + 21):
        delivery.put(replace(EVENT, frame=number))
        if not number:  # the first one is being sent, not waiting
            while not delivery._queue.empty():
                time.sleep(0.001)
    assert time.monotonic() - start < 5 and delivery.dropped == 20
    gate.set()
    delivery.close(30)
    assert sent == list(range(WAITING + 1)) and delivery.delivered == WAITING + 1


def test_one_that_fails_is_told_and_the_next_gets_its_try() -> None:
    told: list[str] = []

    def send(event: Event) -> None:
        if event.frame < 2:
            raise DeliveryError("gone") if event.frame else RuntimeError("odd")

    delivery = Delivery("--run", send, told.append)
    for number in range(3):
        delivery.put(replace(EVENT, frame=number))
    delivery.close(30)
    assert (delivery.delivered, delivery.failed) == (1, 2)
    assert told == ["--run: odd", "--run: gone"]


def test_the_end_does_not_wait_for_a_server_that_hangs() -> None:
    gate = threading.Event()
    delivery = Delivery("hangs", lambda event: gate.wait(60) and None)
    for _ in range(5):
        delivery.put(EVENT)
    start = time.monotonic()
    delivery.close(0.2)
    assert time.monotonic() - start < 5 and delivery.dropped >= 3
    gate.set()
