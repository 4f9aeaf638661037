"""``keyact models``: which networks and backends there are."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from keyact import detect, pose, weights
from keyact.cli.terminal import console, one_line_errors

_BACKENDS = {"detector": detect.BACKENDS, "pose": pose.BACKENDS}


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """List the bundled models, your own, and the backends for models of other programs.

    Your own are the .onnx files in the folder that is named below the first table; any other
    file can be given to --model, --pose or --detector by its path. Backends are asked for as the
    second table says.
    """
    with one_line_errors():
        entries = weights.entries()
        if as_json:
            rows = [
                {
                    "name": entry.name,
                    "kind": entry.kind,
                    "default": entry.default,
                    "source": entry.source,
                    "path": str(entry.path),
                    "bytes": entry.bytes,
                    "sha256": entry.digest(),
                    "licence": entry.licence,
                    "card": str(entry.card) if entry.card else None,
                    "summary": entry.summary,
                    "form": entry.name,
                    "installed": True,
                }
                for entry in entries
            ]
            rows += [
                {
                    "name": name,
                    "kind": kind,
                    "default": False,
                    "source": "backend",
                    "path": None,
                    "bytes": None,
                    "sha256": None,
                    "licence": "",
                    "card": None,
                    "summary": backend.summary,
                    "form": backend.form,
                    "installed": backend.installed,
                }
                for kind, table in _BACKENDS.items()
                for name, backend in table.items()
            ]
            typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
            return
        out = console()
        table = Table("Kind", "Name", "Size", "SHA-256", "From", "Summary", box=None)
        table.columns[2].justify = "right"
        for entry in entries:
            cells = (
                entry.kind,
                f"{entry.name} (default)" if entry.default else entry.name,
                f"{entry.bytes / 1e6:.1f} MB",
                entry.digest()[:12],
                entry.source,
                entry.summary,
            )
            table.add_row(*map(Text, cells))  # Text: a name may hold what rich takes for markup
        out.print(table)
        out.print(f"\nYour own: {weights.user_models_dir()}\n", markup=False, soft_wrap=True)
        out.print(_backends())


def _backends() -> Table:
    table = Table("Kind", "Type", "Needs", "Summary", box=None)
    for kind, backends in _BACKENDS.items():
        for backend in backends.values():
            needs = f"pip install 'keyact[{backend.extra}]'" if not backend.installed else ""
            table.add_row(*map(Text, (kind, backend.form, needs, backend.summary)))
    return table
