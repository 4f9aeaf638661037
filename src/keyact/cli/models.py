"""``keyact models``: which networks there are."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from keyact import weights
from keyact.cli.terminal import console, one_line_errors


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the bundled models and your own.

    Your own are the .onnx files in the folder that is named below the table; any other file
    can be given to --model, --pose or --detector by its path.
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
                }
                for entry in entries
            ]
            typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
            return
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
        out = console()
        out.print(table)
        out.print(f"\nYour own: {weights.user_models_dir()}", markup=False, soft_wrap=True)
