"""A run's folder: what was asked for, on which machine, and what came of it.

``config.yaml``, ``environment.json``, ``split.csv`` (what was learnt from and what was chosen on),
``log.csv`` and ``curves.png`` (a row and a point each epoch), ``best.weights.h5`` (the chosen
epoch), ``checkpoint.npz`` (to go on from), ``model.onnx`` with ``model.json`` (its labels and
settings), ``eyes.onnx`` (what a network that looks at videos sees pictures with; ``model.onnx`` has
it inside), and ``metrics.json`` of the val split.
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from keyact.errors import InputError
from keyact.machine import cpu_name
from keyact.replacing import replacing

PACKAGES = ("keyact", "keras", "tensorflow", "jax", "torch", "numpy", "scikit-learn", "onnx",
            "onnxruntime", "opencv-python-headless")  # fmt: skip


@dataclass(frozen=True)
class RunFolder:
    """A folder with known files, each written whole or not at all.

    ``part`` names the weights: those of the whole network are ``best``.
    """

    root: Path
    part: str = "best"

    @classmethod
    def create(cls, name: str, parent: Path | str = "runs", *, resume: bool = False) -> RunFolder:
        """``parent/name``, new, or an existing one to go on with.

        Raises
        ------
        InputError : see `checked`.
        """
        run = cls.checked(name, parent, resume=resume)
        run.root.mkdir(parents=True, exist_ok=True)
        return run

    @classmethod
    def checked(cls, name: str, parent: Path | str = "runs", *, resume: bool = False) -> RunFolder:
        """What `create` gives, but not made yet.

        Raises
        ------
        InputError : it exists and ``resume`` is not set, or the other way round, or a bad name.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", name):
            raise InputError(f"{name!r} is no name for a run: use letters, digits and . _ + -")
        run = cls(Path(parent) / name)
        begun = run.checkpoint.exists() or run.model.exists()  # else there is nothing to lose
        if run.config.exists() and begun and not resume:
            raise InputError(f"{run.root}: exists; go on with --resume, or take another --name")
        if resume and not run.checkpoint.exists():
            raise InputError(
                f"{run.root}: nothing to resume: it has no {run.checkpoint.name}; start it without "
                "--resume"
            )
        return run

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def log(self) -> Path:
        return self.root / "log.csv"

    @property
    def curves(self) -> Path:
        return self.root / "curves.png"

    @property
    def environment(self) -> Path:
        return self.root / "environment.json"

    @property
    def weights(self) -> Path:
        return self.root / f"{self.part}.weights.h5"

    @property
    def checkpoint(self) -> Path:
        return self.root / "checkpoint.npz"

    @property
    def model(self) -> Path:
        return self.root / "model.onnx"

    @property
    def eyes(self) -> Path:
        return self.root / "eyes.onnx"

    @property
    def model_info(self) -> Path:
        return self.root / "model.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.json"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    def write_bytes(self, target: Path, data: bytes) -> None:
        with replacing(target) as part:
            part.write_bytes(data)

    def write_json(self, target: Path, value: object) -> None:
        self.write_bytes(target, (json.dumps(value, indent=1) + "\n").encode())

    def write_log(self, rows: Sequence[Mapping[str, float]], curves: bool = True) -> None:
        """All epochs so far to ``log.csv`` and, if wanted, ``curves.png``."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write_bytes(self.log, text.getvalue().encode())
        if curves:
            with replacing(self.curves) as part:
                draw_curves(rows, part)

    def write_environment(self) -> None:
        self.write_json(self.environment, environment())


def draw_curves(rows: Sequence[Mapping[str, float]], target: Path) -> None:
    """A panel per measure, train and val in one; a PNG."""
    from matplotlib.figure import Figure

    panels: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        if name not in ("epoch", "seconds"):
            panels.setdefault(name.removeprefix("val_"), []).append(name)
    figure = Figure(figsize=(4 * max(len(panels), 1), 3.2), layout="constrained")
    axes = figure.subplots(1, max(len(panels), 1), squeeze=False)[0]
    for axis, (title, names) in zip(axes, panels.items(), strict=False):
        for name in names:
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            axis.plot(*zip(*points, strict=True), marker=".", label=name)
        axis.set(title=title, xlabel="epoch")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(target, format="png", dpi=100)


def environment() -> dict[str, Any]:
    """Versions, machine and commit, to say later what a result was made with."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "backend": sys.modules["keras"].backend.backend() if "keras" in sys.modules else None,
        "threads": {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")},
        "packages": versions,
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of the folder that keyact runs from, when that is a git checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
