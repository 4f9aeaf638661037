"""What the server costs: throughput and latency beside the bare pipeline, lag, memory, start.

    python benchmarks/serving.py                                 # everything, about ten minutes
    python benchmarks/serving.py --only clients --seconds 5 --out /tmp/serving.csv

Measured on this machine alone, over the loopback, each part bounded in time or frames:

start    seconds from the command to the first "ready", and to the first answer
clients  photos per second, p50 and p99 of the answer at 1, 8, 32 and 100 clients that each send
         the next photo when the last is answered; before and after each number of clients the bare
         pipeline works on the same bytes, in this process, one photo at a time and in as many
         threads as there are CPUs; `ratio` is the server's rate over the better of the two means
         (for one client: over the first)
batches  the same at 8 clients without batching (--batch 1)
stream   a stream of 30 frames per second: lag, frames dropped, and how far behind results were
memory   resident memory over --frames photos: after a tenth of them, and at the end

Every part starts a server of its own. The clients take CPU from the server, as they would not on
another machine.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("start", "clients", "batches", "stream", "memory")
CPUS = os.cpu_count() or 1

Row = tuple[str, str, float]  # what, unit, value


@dataclass(frozen=True)
class Server:
    """A running ``keyact serve``."""

    process: subprocess.Popen[str]
    port: int
    ready_after: float

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def rss(self) -> float:
        """MiB in memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024


@contextmanager
def server(*options: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "keyact", "serve", "--port", "0", "--log", "off",
               "--queue", "512", "--timeout", "120", *options]  # fmt: skip
    start = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            found = re.findall(r":(\d+)\s*$", line)
            if not found:
                sys.exit(f"the server did not start: {line}")
            port = int(found[0])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            connection.request("GET", "/v2/health/ready")
            assert connection.getresponse().status == 200
            yield Server(process, port, time.perf_counter() - start)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def predict(connection: http.client.HTTPConnection, photo: bytes) -> None:
    connection.request("POST", "/v1/predict", photo, {"Content-Type": "image/jpeg"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {text[:200]!r}")


def load(running: Server, photos: Sequence[bytes], clients: int, seconds: float) -> list[float]:
    """Seconds of each answer."""
    end = time.perf_counter() + seconds

    def client(number: int) -> list[float]:
        connection = running.connect()
        taken = []
        turn = number
        while time.perf_counter() < end:
            start = time.perf_counter()
            predict(connection, photos[turn % len(photos)])
            taken.append(time.perf_counter() - start)
            turn += 1
        connection.close()
        return taken

    with ThreadPoolExecutor(clients) as pool:
        return [one for taken in pool.map(client, range(clients)) for one in taken]


class Bare:
    """The pipeline without a server: bytes in, a line of JSON out."""

    def __init__(self) -> None:
        from keyact import Recognizer

        self._one = Recognizer().warm_up()
        self._many = Recognizer(threads=1).warm_up()

    def rates(self, photos: Sequence[bytes], seconds: float) -> tuple[float, float]:
        """Photos per second: one at a time, and in as many threads as CPUs."""
        return (
            self._rate(self._one, photos, 1, seconds),
            self._rate(self._many, photos, CPUS, seconds),
        )

    def _rate(
        self, recognizer: Callable[..., object], photos: Sequence[bytes], jobs: int, seconds: float
    ) -> float:
        start = time.perf_counter()

        def work(number: int) -> int:
            done = 0
            while time.perf_counter() - start < seconds:
                recognizer(photos[(number + done) % len(photos)]).to_json()  # type: ignore[attr-defined]
                done += 1
            return done

        with ThreadPoolExecutor(jobs) as pool:
            done = sum(pool.map(work, range(jobs)))
        return done / (time.perf_counter() - start)


def start_up(options: argparse.Namespace, photos: Sequence[bytes]) -> list[Row]:
    ready, answered = [], []
    for _ in range(options.starts):
        with server() as running:
            ready.append(running.ready_after)
            begun = time.perf_counter()
            predict(running.connect(), photos[0])
            answered.append(running.ready_after + time.perf_counter() - begun)
    return [
        ("start, until ready", "s", statistics.median(ready)),
        ("start, until the first answer", "s", statistics.median(answered)),
    ]


def clients(
    options: argparse.Namespace, photos: Sequence[bytes], more: Sequence[str] = ()
) -> list[Row]:
    bare = Bare()
    rows: list[Row] = []
    numbers = options.clients if not more else [8]
    name = "" if not more else ", no batching"
    with server(*more) as running:
        load(running, photos, 4, min(2.0, options.seconds))  # warm-up
        for number in numbers:
            before = bare.rates(photos, options.seconds / 4)
            start = time.perf_counter()
            taken = load(running, photos, number, options.seconds)
            rate = len(taken) / (time.perf_counter() - start)
            after = bare.rates(photos, options.seconds / 4)
            single, parallel = (statistics.mean(pair) for pair in zip(before, after, strict=True))
            percentiles = statistics.quantiles(taken, n=100) if len(taken) > 1 else taken * 99
            what = f"{number} clients{name}"
            best = single if number == 1 else max(single, parallel)
            rows += [
                (f"{what}: rate", "photos/s", rate),
                (f"{what}: bare, one at a time", "photos/s", single),
                (f"{what}: bare, {CPUS} threads", "photos/s", parallel),
                (f"{what}: ratio", "x", rate / best),
                (f"{what}: p50", "ms", percentiles[49] * 1000),
                (f"{what}: p99", "ms", percentiles[98] * 1000),
            ]
    return rows


def stream(options: argparse.Namespace, photos: Sequence[bytes]) -> list[Row]:
    from websockets.sync.client import connect

    sent: dict[int, float] = {}
    lags: list[float] = []
    behind: list[int] = []
    dropped = 0
    with server() as running, connect(f"ws://127.0.0.1:{running.port}/v1/stream") as socket:
        socket.send(photos[0])  # warm-up
        socket.recv(60)

        def read() -> None:
            nonlocal dropped
            try:
                while True:
                    answer = json.loads(socket.recv(2))
                    lags.append(time.perf_counter() - sent[answer["frame"]])
                    behind.append(max(sent) - answer["frame"])
                    dropped = answer["dropped"]
            except TimeoutError:
                return

        reader = threading.Thread(target=read)
        reader.start()
        begun = time.perf_counter()
        number = 1
        while (now := time.perf_counter()) - begun < options.seconds:
            sent[number] = now
            socket.send(photos[0])
            number += 1
            time.sleep(max(0.0, begun + number / 30 - time.perf_counter()))
        reader.join(30)
    percentiles = statistics.quantiles(lags, n=100)
    return [
        ("stream, sent", "frames/s", len(sent) / options.seconds),
        ("stream, answered", "frames/s", len(lags) / options.seconds),
        ("stream, dropped", "frames", dropped),
        ("stream, lag p50", "ms", percentiles[49] * 1000),
        ("stream, lag p95", "ms", percentiles[94] * 1000),
        ("stream, frames sent since the answered one, most", "frames", max(behind)),
    ]


def memory(options: argparse.Namespace, photos: Sequence[bytes]) -> list[Row]:
    early = max(1, options.frames // 10)
    with server() as running:

        def send(count: int) -> None:
            share = [count // CPUS + (i < count % CPUS) for i in range(CPUS)]

            def client(number: int) -> None:
                connection = running.connect()
                for turn in range(share[number]):
                    predict(connection, photos[turn % len(photos)])

            with ThreadPoolExecutor(CPUS) as pool:
                list(pool.map(client, range(CPUS)))

        send(early)
        first = running.rss()
        send(options.frames - early)
        last = running.rss()
    return [
        (f"memory after {early} photos", "MiB", first),
        (f"memory after {options.frames} photos", "MiB", last),
        ("memory, growth", "MiB", last - first),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", nargs="*", type=Path, help="JPEG files; the demo's by default")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32, 100])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--frames", type=int, default=10_000, help="of the part memory")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "serving.csv")
    options = parser.parse_args(arguments)
    if options.seconds > 300 or max(options.clients) > 500:
        parser.error("at most 300 seconds and 500 clients")
    from keyact.cli.demo import demo_photo

    photos = [path.read_bytes() for path in options.photos or [demo_photo()]]
    work: dict[str, Callable[[], list[Row]]] = {
        "start": lambda: start_up(options, photos),
        "clients": lambda: clients(options, photos),
        "batches": lambda: clients(options, photos, ("--batch", "1")),
        "stream": lambda: stream(options, photos),
        "memory": lambda: memory(options, photos),
    }
    setting = (
        f"{platform.processor() or platform.machine()}, {CPUS} CPUs, "
        f"Python {platform.python_version()}, {len(photos)} photo(s), {options.seconds:g} s each"
    )
    rows: list[Row] = []
    for part in PARTS:
        if part in options.only:
            found = work[part]()
            for what, unit, value in found:
                print(f"{what:<52} {value:>10.2f} {unit}", flush=True)
            rows += found
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["what", "value", "unit", "setting"])
        for what, unit, value in rows:
            writer.writerow([what, f"{value:.3f}", unit, setting])
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
