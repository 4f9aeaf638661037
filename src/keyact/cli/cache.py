"""``keyact cache``: what is kept of photos, and removing it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from keyact.cli.terminal import FAILED, complain, console, one_line_errors

app = typer.Typer(help="Show and prune the cache of people and features.", add_completion=False)

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

Folder = Annotated[
    Path | None,
    typer.Option(
        "--cache", metavar="DIR", help="Folder of the cache; $KEYACT_CACHE, or your own cache's."
    ),
]


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    cache: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what the cache holds: people and features of photos, by network and settings.

    Training and `keyact data check` fill it; removing it costs only time.
    """
    if context.invoked_subcommand is not None:
        context.obj = cache
        return
    with one_line_errors():
        from keyact.data.pruning import cached

        root = _root(cache)
        infos = cached(root)
        if as_json:
            rows = [
                {
                    "folder": str(info.folder),
                    "kind": info.kind,
                    "models": list(info.models),
                    "entries": info.keys(),
                    "shards": len(info.shards),
                    "bytes": info.bytes,
                    "last_used": info.used,
                    "settings": info.settings,
                }
                for info in infos
            ]
            typer.echo(json.dumps({"root": str(root), "stores": rows}, indent=2))
            return
        out = console()
        table = Table("Kind", "Models", "Entries", "Size", "Last used", "Folder", box=None)
        table.columns[2].justify = table.columns[3].justify = "right"
        for info in infos:
            cells = (
                info.kind,
                ", ".join(info.models),
                f"{info.keys():,}",
                size_text(info.bytes),
                _ago(time.time() - info.used),
                info.folder.name,
            )
            table.add_row(*map(Text, cells))
        if infos:
            out.print(table)
        total = sum(info.bytes for info in infos)
        out.print(f"{size_text(total)} in {root}", markup=False, soft_wrap=True)


@app.command()
def prune(
    context: typer.Context,
    unused: Annotated[
        float | None,
        typer.Option(min=0.0, metavar="DAYS", help="What was not used for so many days."),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="What was not used for longest, until 500MB, 2GB fit."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="What was made with this network.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
    cache: Folder = None,
) -> None:
    """Remove parts of the cache: whatever any of the options names."""
    if unused is None and max_size is None and model is None and not everything:
        raise typer.BadParameter("say what to remove: --unused, --max-size, --model or --all")
    limit = None if max_size is None else _bytes(max_size)
    with one_line_errors():
        from keyact.data import pruning
        from keyact.errors import UnknownNameError

        root = _root(cache or context.obj)
        if model is not None:
            names = {name for info in pruning.cached(root) for name in info.models}
            if model not in names:
                raise UnknownNameError("network in the cache", model, names)
        done = pruning.prune(
            root,
            model=model,
            unused_days=unused,
            max_bytes=limit,
            everything=everything,
            dry_run=dry_run,
        )
        verb = "would remove" if dry_run else "removed"
        console().print(
            f"{verb} {done.files} files, {size_text(done.bytes)}, from {root}",
            markup=False,
            soft_wrap=True,
        )
        for line in done.failed:
            complain(line)
        if done.failed:
            raise typer.Exit(FAILED)


def size_text(count: int) -> str:
    """A number of bytes for people."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


def _root(cache: Path | None) -> Path:
    from keyact.data.store import cache_dir

    return cache or cache_dir()


def _bytes(text: str) -> int:
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)b?\s*", text.lower())
    if not found:
        raise typer.BadParameter(f"{text!r} is no size, such as 500MB or 2GB")
    return int(float(found[1]) * _UNITS[found[2]])


def _ago(seconds: float) -> str:
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "now"
