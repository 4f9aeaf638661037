"""Where the time goes: each stage in milliseconds, next to the bare networks in the same run.

    python benchmarks/pipeline.py --threads 2 --out results/pipeline.csv

Photos default to ``$KEYACT_SHARED/data/media/photos`` (or ``../shared``), else to the photo of
``keyact demo``. Threads are pinned: the process is bound to as many CPUs as threads are asked
for, and ONNX Runtime, OpenCV and OpenMP get that number. Every photo is recognised ``--repeats``
times after a warm-up; right after each time the same networks run on ready-made arrays of the same
batch sizes, so that both see the same machine. Figures are medians over all runs.

Also measured: what an installation weighs (keyact and its dependencies, as their file lists say)
and how long ``import keyact`` and the first ``warm_up`` take in a fresh interpreter.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyact.machine import cpu_name
from keyact.replacing import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from keyact.runtime import OnnxModel

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("decode", "detect", "pose", "action")
NETWORKS = {"detect": "detector", "pose": "pose", "action": "action"}  # stage: kind of weights
BATCH = 8  # people per run, as the stages do it

Row = tuple[str, str, float]  # what, unit, value


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    _pin(options.threads)
    rows, people = _stages(options)
    rows += _weight() + _start_up(options)
    setting = (
        f"{cpu_name()}, {options.threads} thread(s), Python {platform.python_version()}, "
        f"{len(options.photos)} photo(s), {people:.1f} people each, {options.repeats} repeats"
    )
    _print(rows, setting)
    _write(options.out, rows, setting)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", nargs="*", type=Path, help="photos or folders")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "pipeline.csv")
    parser.add_argument("--model", default="keypoint-fusion")
    parser.add_argument("--pose", default="fastpose-m")
    parser.add_argument("--detector", default="persondet-m")
    options = parser.parse_args(arguments)
    if options.threads < 1 or options.repeats < 1:
        parser.error("--threads and --repeats are at least 1")
    from keyact.media import find_media

    given = options.photos or [_default_photos()]
    options.photos = [item.path for item in find_media(given) if item.kind == "photo"]
    if not options.photos:
        parser.error("no photo among the paths")
    return options


def _default_photos() -> Path:
    shared = Path(os.environ.get("KEYACT_SHARED", ROOT.parent / "shared"))
    photos = shared / "data" / "media" / "photos"
    if photos.is_dir():
        return photos
    from keyact.cli.demo import demo_photo

    return demo_photo()


def _pin(threads: int) -> None:
    """Bind the process to ``threads`` CPUs; must run before a runtime starts its threads."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < threads:
            sys.exit(f"{threads} threads asked for, {len(usable)} CPUs usable")
        os.sched_setaffinity(0, usable[:threads])
    import cv2

    cv2.setNumThreads(threads)


def _stages(options: argparse.Namespace) -> tuple[list[Row], float]:
    """Median times of the stages and of the bare networks, and the mean number of people."""
    from keyact import Recognizer, weights
    from keyact.runtime import OnnxModel

    chosen = {"detect": options.detector, "pose": options.pose, "action": options.model}
    recognizer = Recognizer(
        options.model, options.pose, options.detector, threads=options.threads
    ).warm_up()
    bare = {
        stage: OnnxModel(weights.resolve(kind, chosen[stage]).path, threads=options.threads)
        for stage, kind in NETWORKS.items()
    }
    taken: dict[str, list[float]] = defaultdict(list)
    people = []
    for photo in options.photos:
        found = len(recognizer(photo).people)  # warm-up
        people.append(found)
        squares = _squares(photo)
        batches = {"detect": 1, "pose": found, "action": max(1, found)}
        for stage, batch in batches.items():
            _bare_ms(bare[stage], batch, squares)
        for _ in range(options.repeats):
            for stage, value in recognizer(photo).timings_ms.items():
                taken[stage].append(value)
            networks = {
                stage: _bare_ms(bare[stage], batch, squares) for stage, batch in batches.items()
            }
            for stage, value in networks.items():
                taken[f"{stage} network"].append(value)
            taken["networks"].append(sum(networks.values()))
    median = {name: statistics.median(values) for name, values in taken.items()}
    rows: list[Row] = [(stage, "ms", median[stage]) for stage in STAGES]
    rows.append(("total", "ms", median["total"]))
    rows += [(f"bare {stage} network", "ms", median[f"{stage} network"]) for stage in NETWORKS]
    rows.append(("bare networks' sum", "ms", median["networks"]))
    rows.append(("total / bare networks' sum", "ratio", median["total"] / median["networks"]))
    rows.append(("people per photo", "count", statistics.mean(people)))
    return rows, statistics.mean(people)


def _squares(photo: Path) -> int:
    """How many of them cover the photo."""
    from keyact.action.keypoint_fusion import photo_squares
    from keyact.media import load_image

    return len(photo_squares(load_image(photo), 32))


def _bare_ms(model: OnnxModel, batch: int, squares: int) -> float:
    """Time of the network alone on random input, for ``batch`` people in a photo."""
    import numpy as np

    height, width = model.meta["input"]
    of_photo = {"context": 1, "squares": squares}  # shown once for all its people
    generator = np.random.default_rng(0)
    spent = 0.0
    for start in range(0, batch, BATCH):
        size = min(BATCH, batch - start)
        feeds: dict[str, NDArray[Any]] = {}
        for name in model.inputs:
            count = of_photo.get(name, size)
            if name == "keypoints":
                feeds[name] = generator.random((count, 17, 3), np.float32)
            else:
                sides = model.inputs[name][1:3] if name == "squares" else (height, width)
                feeds[name] = generator.integers(0, 255, (count, *sides, 3), np.uint8)
        begin = time.perf_counter()
        model.run(feeds)
        spent += (time.perf_counter() - begin) * 1000
    return spent


def _weight() -> list[Row]:
    """Installed size of keyact, and of everything that comes with it."""
    sizes: dict[str, int] = {}

    def visit(name: str) -> None:
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in sizes:
            return
        try:
            found = distribution(name)
        except PackageNotFoundError:  # for another platform or Python
            return
        sizes[key] = sum(
            path.stat().st_size
            for file in found.files or ()
            if (path := Path(str(file.locate()))).is_file()
        )
        for requirement in found.requires or ():
            if not re.search(r"\bextra\b", requirement):
                visit(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])

    visit("keyact")
    # An editable installation lists only a link: weigh the sources instead.
    import keyact

    own = sum(
        path.stat().st_size
        for path in Path(keyact.__file__).parent.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    sizes["keyact"] = own
    return [
        ("installed size, keyact", "MB", own / 1e6),
        ("installed size, with dependencies", "MB", sum(sizes.values()) / 1e6),
    ]


def _start_up(options: argparse.Namespace) -> list[Row]:
    """Seconds that a fresh interpreter takes beyond starting itself."""

    def took(code: str) -> float:
        runs = []
        for _ in range(7):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            runs.append((time.perf_counter() - begin) * 1000)
        return statistics.median(runs)

    bare = took("pass")
    names = (options.model, options.pose, options.detector)
    return [
        ("import keyact", "ms", took("import keyact") - bare),
        ("import keyact.recognizer", "ms", took("import keyact.recognizer") - bare),
        (
            "import and warm_up",
            "ms",
            took(f"import keyact; keyact.Recognizer(*{names}).warm_up()") - bare,
        ),
    ]


def _print(rows: Sequence[Row], setting: str) -> None:
    print(setting)
    print()
    print(f"| {'what':34} | {'value':>9} | unit  |")
    print(f"|{'-' * 36}|{'-' * 10}:|-------|")
    for what, unit, value in rows:
        print(f"| {what:34} | {value:9.2f} | {unit:5} |")


def _write(path: Path, rows: Sequence[Row], setting: str) -> None:
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("what", "unit", "value", "setting"))
        table.writerows((what, unit, f"{value:.3f}", setting) for what, unit, value in rows)
    print(f"\nWrote {path}")


if __name__ == "__main__":
    main()
