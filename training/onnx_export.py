"""The ONNX file that keyact ships, with its model card and registry entry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from string import Template

from keyact.replacing import replacing
from keyact.train.conversion import LARGE, check, convert, session, with_meta

__all__ = ["LARGE", "WEIGHTS", "check", "convert", "session", "ship", "table", "with_meta"]

WEIGHTS = Path(__file__).parents[1] / "src" / "keyact" / "weights"


def ship(
    data: bytes,
    name: str,
    kind: str,
    summary: str,
    card: Path,
    figures: dict[str, object],
    folder: Path = WEIGHTS,
) -> None:
    """Write file, model card and registry entry into the package.

    ``card`` is the card's text with ``$figures`` where the table of figures goes.
    """
    text = Template(card.read_text("utf-8")).substitute(figures=table(figures))
    stem = name.replace("-", "_")
    _write(folder / f"{stem}.onnx", data)
    _write(folder / f"{stem}.md", text.encode())
    registry = json.loads((folder / "registry.json").read_text("utf-8"))
    rows = [row for row in registry["weights"] if row["name"] != name]
    rows.append(
        {
            "name": name,
            "kind": kind,
            "file": f"{stem}.onnx",
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "licence": "Apache-2.0",
            "card": f"{stem}.md",
            "summary": summary,
            "default": True,
        }
    )
    registry["weights"] = sorted(rows, key=lambda row: (row["kind"], row["name"]))
    _write(folder / "registry.json", (json.dumps(registry, indent=2) + "\n").encode())
    print(f"{name}: {len(data) / 1e6:.2f} MB")


def table(figures: dict[str, object]) -> str:
    """A Markdown table of nested figures, one row a leaf."""
    rows = []

    def walk(value: object, place: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{place}, {key}" if place else str(key))
        else:
            rows.append(f"| {place} | {value} |")

    walk(figures, "")
    return "\n".join(["| figure | value |", "| --- | --- |", *rows])


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as part:
        part.write_bytes(data)
