"""Time one action model in this process and print the figures as a line of JSON.

    python -m keyact.evaluate.latency keypoint-fusion --threads 2

`keyact.evaluate.cost.measure_latency` starts it, so that threads can be pinned before a runtime
makes any, and so that the peak of memory is the model's own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

_WARM_UP = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--detector", default="persondet-m")
    parser.add_argument("--pose", default="fastpose-m")
    options = parser.parse_args()
    _pin(options.threads)

    import numpy as np

    from keyact import action
    from keyact.media.image import load_image
    from keyact.recognizer import Recognizer

    model = action.load(options.model, threads=options.threads)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (480, 640, 3), np.uint8)
    box = np.array([[220, 60, 420, 440]], np.float32)
    points = rng.uniform(0, 1, (1, 17, 3)) * (200, 380, 1) + (220, 60, 0)
    times = _milliseconds(lambda: model(image, box, points.astype(np.float32)), options.runs)
    found = {
        "p50": round(float(np.percentile(times, 50)), 3),
        "p95": round(float(np.percentile(times, 95)), 3),
        "photo_p50": None,
        "memory": _peak_megabytes(),  # of the model alone, before detector and pose are loaded
    }
    if options.photo is not None:
        photo = load_image(options.photo)
        recognizer = Recognizer(model, options.pose, options.detector, threads=options.threads)
        times = _milliseconds(lambda: recognizer(photo), options.runs)
        found["photo_p50"] = round(float(np.percentile(times, 50)), 3)
    print(json.dumps(found))


def _pin(threads: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < threads:
            sys.exit(f"{threads} threads asked for, {len(usable)} CPUs usable")
        os.sched_setaffinity(0, usable[:threads])
    import cv2

    cv2.setNumThreads(threads)


def _milliseconds(work: Callable[[], object], runs: int) -> list[float]:
    for _ in range(_WARM_UP):
        work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return times


def _peak_megabytes() -> float | None:
    try:
        # Not getrusage: its peak on Linux includes the process that started this one.
        for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        pass
    if sys.platform == "darwin":
        import resource

        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)
    return None


if __name__ == "__main__":
    main()
