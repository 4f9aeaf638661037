"""``keyact serve``: answer over HTTP, with a web page."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any, Literal

import typer

from keyact.cli.options import Detector, MaxPeople
from keyact.cli.terminal import complain, console, one_line_errors
from keyact.errors import KeyactError

_MIB = 2**20
_LIMITS = "Limits"
# Modules of the extra "serve".
_NEEDS = ("fastapi", "uvicorn", "websockets", "python_multipart", "prometheus_client")


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="KEYACT_TOKEN",
            show_envvar=True,
            help="What clients must send; better in the environment, where `ps` does not show it.",
        ),
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Serve other machines without a token.")
    ] = False,
    hosts: Annotated[
        list[str] | None,
        typer.Option("--host-name", help="A name by which clients call the server; repeatable."),
    ] = None,
    origins: Annotated[
        list[str] | None,
        typer.Option("--origin", help="A web page's origin that may use it (CORS); repeatable."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="Action model that clients may choose; repeatable."),
    ] = None,
    poses: Annotated[
        list[str] | None,
        typer.Option("--pose", help="Pose backend that clients may choose; repeatable."),
    ] = None,
    detector: Detector = "persondet-m",
    sequence: Annotated[
        str | None,
        typer.Option(
            help="Sequence model for clips and streams: a name of `keyact models`, an .onnx file, "
            "or none. By default the bundled one, beside the bundled photo model."
        ),
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the web page.")] = True,
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Answer /v1/explain.")
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Photos at once; CPUs + 1 when not given.", rich_help_panel=_LIMITS
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="CPU threads of one network run.", rich_help_panel=_LIMITS)
    ] = 1,
    batch: Annotated[
        int,
        typer.Option(
            min=1, help="Rows of several requests in one run; 1: no batching.",
            rich_help_panel=_LIMITS,
        ),
    ] = 8,
    queue: Annotated[
        int, typer.Option(min=0, help="Photos that may wait.", rich_help_panel=_LIMITS)
    ] = 64,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a photo.", rich_help_panel=_LIMITS)
    ] = 30.0,
    max_people: MaxPeople = 50,
    max_photo_mib: Annotated[int, typer.Option(min=1, rich_help_panel=_LIMITS)] = 20,
    max_clip_mib: Annotated[int, typer.Option(min=1, rich_help_panel=_LIMITS)] = 200,
    max_frames: Annotated[
        int, typer.Option(min=1, help="Frames of a clip.", rich_help_panel=_LIMITS)
    ] = 3000,
    log: Annotated[
        Literal["json", "text", "off"], typer.Option(help="Form of the log lines on stderr.")
    ] = "text",
) -> None:  # fmt: skip
    """Serve photos, clips and streams over HTTP, with a web page.

    The server answers this machine only, unless --host says otherwise; then clients need a token.
    It speaks the Open Inference Protocol as well, so that clients of KServe and Triton work. Ends
    with SIGTERM or Ctrl-C, when what is in progress is done.

    The exit status is 0 after a clean end, 1 when a model or the port cannot be had, and 2 for a
    wrong option.
    """
    with one_line_errors():
        lacks = [name for name in _NEEDS if find_spec(name) is None]
        if lacks:
            raise KeyactError(
                f"the server needs {', '.join(lacks)}: python -m pip install 'keyact[serve]'"
            )
        from pydantic import ValidationError

        from keyact.serve.run import serve as run
        from keyact.serve.settings import ServeSettings

        given: dict[str, Any] = {
            "host": host,
            "port": port,
            "token": token,
            "allow_anonymous": allow_anonymous,
            "hosts": tuple(hosts or ()),
            "origins": tuple(origins or ()),
            "models": tuple(models or ()) or None,
            "poses": tuple(poses or ()) or None,
            "detector": detector,
            "sequence": sequence,
            "page": page,
            "explain": explain,
            "workers": workers,
            "threads": threads,
            "batch": batch,
            "queue": queue,
            "timeout": timeout,
            "max_people": max_people,
            "max_photo_bytes": max_photo_mib * _MIB,
            "max_clip_bytes": max_clip_mib * _MIB,
            "max_frames": max_frames,
            "log": log,
        }
        try:
            settings = ServeSettings(**{k: v for k, v in given.items() if v is not None})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = "".join(f"--{part}: " for part in first["loc"][:1])
            complain(where + str(first["msg"]).removeprefix("Value error, "))
            raise typer.Exit(2) from None
        messages = console(stderr=True)

        def started(address: str) -> None:
            what = "page and API" if page else "API"
            messages.print(f"keyact: {what} at {address}", markup=False, soft_wrap=True)

        run(settings, started)
