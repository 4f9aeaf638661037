"""The ``keyact`` command; one module per subcommand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

import keyact
from keyact.cli import (
    alphapose,
    cache,
    compare,
    data,
    demo,
    evaluate,
    explain,
    import_,
    info,
    live,
    models,
    pose,
    pose_eval,
    predict,
    report,
    robustness,
    serve,
    train,
)

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


_COMMANDS: tuple[Callable[..., None], ...] = (
    predict.predict,
    pose.pose,
    demo.demo,
    models.models,
    info.info,
    train.train,
    evaluate.evaluate,
    robustness.robustness,
    compare.compare,
    explain.explain,
    report.report,
    serve.serve,
    live.live,
)
for command in _COMMANDS:
    app.command()(command)
app.command("pose-eval")(pose_eval.pose_eval)
app.command("import")(import_.import_)
app.add_typer(alphapose.app, name="alphapose")
app.add_typer(cache.app, name="cache")
app.add_typer(data.app, name="data")


def main() -> None:
    """Entry point of the ``keyact`` script."""
    app(prog_name="keyact")
