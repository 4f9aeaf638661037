"""What the server costs: throughput and latency beside the bare pipeline, lag, memory, start.

    python benchmarks/serving.py                                 # everything, about 20 minutes
    python benchmarks/serving.py --only clients --seconds 5 --out /tmp/serving.csv

The rows of parts that are not run stay in --out as they are.

Measured on this machine alone, over the loopback, each part bounded in time or frames:

start    seconds from the command to the first "ready", and to the first answer
clients  photos per second, p50 and p99 of the answer at 1, 8, 32 and 100 clients that each send
         the next photo when the last is answered. In turns with them, --turns times, the bare
         pipeline works on the same bytes in a process of its own: from bytes in memory to a line
         of JSON. `ratio` is the median of the turns' ratios, each over the mean of the bare rates
         before and after it: a machine that gets slower meanwhile does so for both.
batches  the same at 8 clients without batching (--batch 1)
stream   a stream of 30 frames per second: lag, frames dropped, and how far behind results were
memory   resident memory over --frames pictures, half of them photos and half frames of a stream:
         after a tenth of them, at the end, and the straight line through what lies between

Threads are the same on both sides. Many clients: one thread per run of a network, and for the bare
pipeline as many photos at once as there are CPUs, or one at a time on all CPUs if that is faster
here. One client: one thread per run, and one photo at a time; then all CPUs per run on both sides.
OpenCV gets one thread on both. Every part starts servers of its own. The clients take CPU from the
server, as they would not on another machine.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("start", "clients", "batches", "stream", "memory")
CPUS = os.cpu_count() or 1
# Also of OpenCV's pools, in servers and in the bare pipeline.
PINNED = {"OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
WARM_UP = 3  # photos

HEADER = ["part", "what", "unit", "value", "setting"]

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
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | PINNED
    ) as process:
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


BARE = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from keyact import Recognizer

threads, jobs, warm_up = map(int, sys.argv[1:4])
photos = [Path(name).read_bytes() for name in sys.argv[4:]]
recognizer = Recognizer(threads=threads).warm_up()
with ThreadPoolExecutor(jobs) as pool:
    def work(number):
        done = 0
        while time.perf_counter() - start < seconds:
            recognizer(photos[(number + done) % len(photos)]).to_json()
            done += 1
        return done
    for _ in range(warm_up):
        recognizer(photos[0])
    print("ready", flush=True)
    for line in sys.stdin:
        seconds = float(line)
        start = time.perf_counter()
        done = sum(pool.map(work, range(jobs)))
        print(done / (time.perf_counter() - start), flush=True)
"""
"""The pipeline without a server: bytes in, a line of JSON out.

For each line, a number of seconds, it prints photos per second; in between it takes no CPU.
"""


@contextmanager
def bare(photos: Sequence[Path], threads: int, jobs: int) -> Iterator[Callable[[float], float]]:
    """Of so many seconds, the photos per second of a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", BARE, str(threads), str(jobs), str(WARM_UP), *map(str, photos)],
        env=os.environ | PINNED, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        lines_in, lines_out = process.stdin, process.stdout
        if lines_out.readline() != "ready\n":
            sys.exit("the bare pipeline did not start")

        def rate(seconds: float) -> float:
            lines_in.write(f"{seconds}\n")
            lines_in.flush()
            return float(lines_out.readline())

        try:
            yield rate
        finally:
            lines_in.close()


def start_up(options: argparse.Namespace, files: Sequence[Path]) -> list[Row]:
    ready, answered = [], []
    photo = files[0].read_bytes()
    for _ in range(options.starts):
        with server() as running:
            ready.append(running.ready_after)
            begun = time.perf_counter()
            predict(running.connect(), photo)
            answered.append(running.ready_after + time.perf_counter() - begun)
    return [
        ("start, until ready", "s", statistics.median(ready)),
        ("start, until ready, fastest", "s", min(ready)),
        ("start, until ready, slowest", "s", max(ready)),
        ("start, until the first answer", "s", statistics.median(answered)),
    ]


def clients(
    options: argparse.Namespace, files: Sequence[Path], more: Sequence[str] = ()
) -> list[Row]:
    photos = [file.read_bytes() for file in files]
    rows: list[Row] = []
    batched = not more
    # Clients, threads of one run, and the (threads, jobs) of the bare pipeline.
    many = ((1, CPUS), (CPUS, 1))
    cases: list[tuple[int, int, Sequence[tuple[int, int]]]] = []
    if batched and 1 in options.clients:
        cases += [(1, threads, ((threads, 1),)) for threads in sorted({1, CPUS})]
    cases += [(number, 1, many) for number in (options.clients if batched else [8]) if number > 1]
    for number, threads, ways in cases:
        what = f"{number} clients" if number > 1 else f"1 client, {threads} thread(s)"
        what += "" if batched else ", no batching"
        with ExitStack() as running:
            ways_of_it = [running.enter_context(bare(files, *way)) for way in ways]
            service = running.enter_context(server("--threads", str(threads), *more))
            load(service, photos, min(number, 4), min(2.0, options.seconds))  # warm-up
            seconds = options.seconds / options.turns
            # The faster way, told by short runs of each in turns.
            tries = [[way(min(2.0, seconds)) for way in ways_of_it] for _ in range(3)]
            sums = [sum(rates) for rates in zip(*tries, strict=True)]
            alone = ways_of_it[sums.index(max(sums))]
            taken, rates, around = [], [], [alone(seconds / 2)]
            for _ in range(options.turns):
                start = time.perf_counter()
                answers = load(service, photos, number, seconds)
                rates.append(len(answers) / (time.perf_counter() - start))
                taken += answers
                around.append(alone(seconds / 2))
        means = [statistics.mean(pair) for pair in pairwise(around)]
        ratio = statistics.median(r / mean for r, mean in zip(rates, means, strict=True))
        p50, p99 = percentiles(taken, 50, 99)
        rows += [
            (f"{what}: rate", "photos/s", statistics.median(rates)),
            (f"{what}: bare pipeline", "photos/s", statistics.median(means)),
            (f"{what}: ratio", "x", ratio),
            (f"{what}: p50", "ms", p50 * 1000),
            (f"{what}: p99", "ms", p99 * 1000),
        ]
    return rows


def percentiles(values: Sequence[float], *wanted: int) -> list[float]:
    """Of few values as well."""
    if len(values) < 2:
        return [values[0]] * len(wanted) if values else [math.nan] * len(wanted)
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return [cuts[percent - 1] for percent in wanted]


def stream(options: argparse.Namespace, files: Sequence[Path]) -> list[Row]:
    from websockets.sync.client import connect

    photo = files[0].read_bytes()
    sent: list[float] = []  # when; frame 0 is the warm-up
    lags: list[float] = []
    behind: list[int] = []
    dropped = 0
    with server() as running, connect(f"ws://127.0.0.1:{running.port}/v1/stream") as socket:

        def send() -> None:
            sent.append(time.perf_counter())
            socket.send(photo)

        def read() -> None:
            nonlocal dropped
            try:
                while True:
                    answer = json.loads(socket.recv(5))
                    now, newest = time.perf_counter(), len(sent) - 1
                    if "error" in answer:
                        raise RuntimeError(answer["error"])
                    lags.append(now - sent[answer["frame"]])
                    behind.append(newest - answer["frame"])
                    dropped = answer["dropped"]
            except TimeoutError:
                return  # the last one was answered long ago

        for _ in range(WARM_UP):
            send()
            socket.recv(60)
        with ThreadPoolExecutor(1) as pool:
            reader = pool.submit(read)
            begun, first = time.perf_counter(), len(sent)
            while time.perf_counter() - begun < options.seconds and not reader.done():
                send()
                time.sleep(max(0.0, begun + (len(sent) - first) / 30 - time.perf_counter()))
            seconds = time.perf_counter() - begun
            reader.result()
    p50, p95, p99 = percentiles(lags, 50, 95, 99)
    return [
        ("stream, sent", "frames/s", (len(sent) - first) / seconds),
        ("stream, answered", "frames/s", len(lags) / seconds),
        ("stream, dropped", "frames", dropped),
        ("stream, lag p50", "ms", p50 * 1000),
        ("stream, lag p95", "ms", p95 * 1000),
        ("stream, lag p99", "ms", p99 * 1000),
        ("stream, frames sent since the answered one, most", "frames", max(behind)),
    ]


def memory(options: argparse.Namespace, files: Sequence[Path]) -> list[Row]:
    from websockets.sync.client import connect

    photos = [file.read_bytes() for file in files]
    steps = [max(1, options.frames * i // 10) for i in range(1, 11)]
    with server() as running, connect(f"ws://127.0.0.1:{running.port}/v1/stream") as socket:
        connection = running.connect()

        def post(count: int) -> None:
            for turn in range(count):
                predict(connection, photos[turn % len(photos)])

        def show(count: int) -> None:
            for turn in range(count):
                socket.send(photos[turn % len(photos)])
                if "error" in (answer := json.loads(socket.recv(60))):
                    raise RuntimeError(answer["error"])

        rss, done = [], 0
        with ThreadPoolExecutor(2) as pool:
            for step in steps:
                half = (step - done) // 2
                both = [pool.submit(post, step - done - half), pool.submit(show, half)]
                for one in both:
                    one.result()
                done = step
                rss.append(running.rss())
    slope = statistics.linear_regression(steps, rss).slope if len(set(steps)) > 1 else 0.0
    return [
        (f"memory after {steps[0]} pictures", "MiB", rss[0]),
        (f"memory after {steps[-1]} pictures", "MiB", rss[-1]),
        ("memory, most", "MiB", max(rss)),
        ("memory, growth", "MiB per 1000 pictures", slope * 1000),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", nargs="*", type=Path, help="JPEG files; the demo's by default")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32, 100])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--frames", type=int, default=10_000, help="of the part memory")
    parser.add_argument("--starts", type=int, default=9)
    parser.add_argument("--turns", type=int, default=4, help="of server and bare pipeline")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "serving.csv")
    options = parser.parse_args(arguments)
    if options.seconds > 300 or max(options.clients) > 500:
        parser.error("at most 300 seconds and 500 clients")
    from keyact.cli.demo import demo_photo

    photos = options.photos or [demo_photo()]
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
    rows = kept(options.out, options.only)
    for part in PARTS:
        if part in options.only:
            for what, unit, value in work[part]():
                print(f"{what:<52} {value:>10.3f} {unit}", flush=True)
                rows.append([part, what, unit, f"{value:.3f}", setting])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(sorted(rows, key=lambda row: PARTS.index(row[0])))
    print(f"wrote {options.out}")


def kept(file: Path, made: Sequence[str]) -> list[list[str]]:
    """Rows of the parts that are not made anew."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return [row for row in list(csv.reader(lines))[1:] if row[0] not in made]


if __name__ == "__main__":
    main()
