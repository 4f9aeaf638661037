"""``keyact info``: what a bug report needs."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

import keyact
from keyact import weights
from keyact.cli.terminal import FAILED, complain, console, one_line_errors
from keyact.machine import usable_cpus

_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "pillow",
    "av",
    "supervision",
    "pydantic",
    "typer",
    "rich",
)


def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show versions, providers, threads and the weights with their hashes.

    The exit status is 1 when a bundled weight file is not the one that was released.
    """
    with one_line_errors():
        facts = _facts()
        if as_json:
            typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        else:
            _print(facts)
        damaged = [row["path"] for row in facts["weights"] if row["verified"] is False]
        for path in damaged:
            complain(f"{path}: not the file that was released; reinstall keyact")
        if damaged:
            raise typer.Exit(FAILED)


def _facts() -> dict[str, Any]:
    import onnxruntime

    return {
        "keyact": keyact.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "providers": onnxruntime.get_available_providers(),
        "threads": usable_cpus(),
        "user_models": str(weights.user_models_dir()),
        "weights": [_weights(entry) for entry in weights.entries()],
    }


def _weights(entry: weights.WeightEntry) -> dict[str, Any]:
    digest = entry.digest()
    return {
        "name": entry.name,
        "kind": entry.kind,
        "path": str(entry.path),
        "sha256": digest,
        # A user's own file has no released hash to be compared with.
        "verified": None if entry.sha256 is None else digest == entry.sha256.lower(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _print(facts: dict[str, Any]) -> None:
    summary = Table(box=None, show_header=False)
    for key in ("keyact", "python", "platform"):
        summary.add_row(key, facts[key])
    for name, found in facts["packages"].items():
        summary.add_row(name, found or "not installed")
    summary.add_row("providers", ", ".join(facts["providers"]))
    summary.add_row("threads", str(facts["threads"]))
    summary.add_row("your models", Text(facts["user_models"]))
    spoken = {True: "verified", False: "CHANGED", None: "your own"}
    table = Table("Weights", "Kind", "SHA-256", "Check", box=None)
    for row in facts["weights"]:
        cells = (row["name"], row["kind"], row["sha256"][:16], spoken[row["verified"]])
        table.add_row(*map(Text, cells))
    out = console()
    out.print(summary)
    out.print()
    out.print(table)
