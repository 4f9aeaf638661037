"""The ``keyact`` command; one module per subcommand, imported when it is asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

import keyact

__all__ = ["app", "main"]

_MODULES = {
    name: name.replace("-", "_")
    for name in (
        "predict", "pose", "demo", "models", "info", "train", "evaluate", "robustness", "compare",
        "explain", "report", "serve", "live", "pose-eval", "import", "alphapose", "cache", "data",
    )
} | {"import": "import_"}  # fmt: skip
"""Subcommand -> module. It has a function of its own name, or an ``app`` with subcommands."""


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = dict.fromkeys(_MODULES)  # type: ignore[assignment]  # to suggest from

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _command(cmd_name) if cmd_name in _MODULES else None


@cache
def _command(name: str) -> Any:
    """A subcommand; what it needs is imported."""
    module = import_module(f"keyact.cli.{_MODULES[name]}")
    group = getattr(module, "app", None)
    if group is None:
        group = typer.Typer(add_completion=False, context_settings=_SETTINGS)
        group.command(name)(getattr(module, _MODULES[name]))
    command = get_command(group)
    command.name = name
    return command


_SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    cls=_Group,
    help="Name what each person is doing in photos and videos, offline, on a CPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"keyact {keyact.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the ``keyact`` script."""
    app(prog_name="keyact")
