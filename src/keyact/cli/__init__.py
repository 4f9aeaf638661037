"""The ``keyact`` command; one module per subcommand."""

from __future__ import annotations

from typing import Annotated

import typer

import keyact
from keyact.cli import alphapose, demo, import_, info, models, predict

__all__ = ["app", "main"]

app = typer.Typer(
    help="Name what each person is doing in photos and videos, offline, on a CPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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


for command in (predict.predict, demo.demo, models.models, info.info):
    app.command()(command)
app.command("import")(import_.import_)
app.add_typer(alphapose.app, name="alphapose")


def main() -> None:
    """Entry point of the ``keyact`` script."""
    app(prog_name="keyact")
