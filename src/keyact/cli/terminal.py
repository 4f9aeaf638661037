"""What the subcommands share: consoles, exit statuses and one-line errors."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from keyact.errors import KeyactError, UnknownNameError, told_of

FAILED = 1  # some input or a weight file could not be used
USAGE = 2
MAX_SHOWN = 20
"""Lines of one kind that are printed where there may be thousands."""
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def console(*, stderr: bool = False) -> Console:
    """A console for results (stdout) or for messages and progress (stderr)."""
    return Console(stderr=stderr, highlight=False)


def complain(message: object, to: Console | None = None) -> None:
    """One error line on stderr, not wrapped: a wrapped line cannot be searched for.

    Pass the console of a progress bar while one is shown, so that the bar makes room.
    """
    out = to or console(stderr=True)
    out.print(f"keyact: {message}", style="red", markup=False, soft_wrap=True)


def complain_of(source: str, error: KeyactError, to: Console | None = None) -> None:
    """`complain` of an input, its name first if the error does not say it."""
    complain(told_of(source, error), to)


def complain_of_many(lines: Sequence[str], to: Console, start: str = "", rest: str = "") -> None:
    """`complain` of the first of many lines, and say how many more there are."""
    for line in lines[:MAX_SHOWN]:
        complain(f"{start}{line}", to)
    if len(lines) > MAX_SHOWN:
        complain(f"... and {len(lines) - MAX_SHOWN} more{rest}", to)


def pin_opencv(threads: int | None) -> None:
    """Keep OpenCV, which crops and decodes, to the threads asked for; the networks know theirs."""
    if threads is not None:
        import cv2

        cv2.setNumThreads(threads)


def progress_bar(messages: Console) -> Progress:
    """A bar with counts and the time left; nothing where ``messages`` is no terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
        # Results may go to stdout, which must stay what it is.
        redirect_stdout=False,
        redirect_stderr=False,
    )


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the command with one line and an exit status instead of a traceback."""
    try:
        yield
    except UnknownNameError as error:
        complain(error)
        raise typer.Exit(USAGE) from error
    except KeyactError as error:
        complain(error)
        raise typer.Exit(FAILED) from error
    except BrokenPipeError as error:
        # The reader of our stdout is gone (`keyact … | head`): nothing is left to say, also not
        # when Python flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILED) from error
    except OSError as error:
        complain(f"{error.filename or 'output'}: {error.strerror or error}")
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt as error:
        complain("interrupted")
        raise typer.Exit(INTERRUPTED) from error


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """The SIGINT or SIGTERM that came is in the list; a second one ends the process at once.

    For work that looks at the list where it can stop. Python's own KeyboardInterrupt comes
    anywhere: in a destructor it is lost, and just after a lock was taken nobody gives that back.
    So nothing is called here that takes a lock, either: whatever was interrupted may hold it.
    """
    asked: list[int] = []

    def handle(number: int, _: object) -> None:
        if asked:
            os._exit(128 + number)
        asked.append(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
