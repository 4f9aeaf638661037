"""Events to commands and webhooks, in threads of their own: no frame waits for them."""

from __future__ import annotations

import os
import queue
import shlex
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from keyact.errors import InputError, KeyactError
from keyact.live.events import Event
from keyact.media.stream import public_address

WAITING = 100
"""Events that may wait; more are dropped and counted."""
TIMEOUT = 10.0
"""Seconds for a command, or for one try of a webhook."""
TRIES = 3
_PAUSE = 0.5  # seconds before the second try, twice as long before each further one
_WORTH_A_TRY = (408, 425, 429)  # and 500 and above

Send = Callable[[Event], None]


class DeliveryError(KeyactError):
    """An event that did not get through."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An event goes where the operator said; a redirected POST would become a GET without it."""

    def redirect_request(self, *_: object) -> None:
        return None


class Delivery:
    """Sends events one by one in a thread.

    Parameters
    ----------
    name : what it is called in messages.
    send : raises DeliveryError.
    told : is given what went wrong, in the thread.

    Attributes
    ----------
    delivered, failed, dropped : counts.
    """

    def __init__(
        self, name: str, send: Send, told: Callable[[str], None] = lambda text: None
    ) -> None:
        self.name = name
        self.delivered = self.failed = self.dropped = 0
        self._send = send
        self._told = told
        self._queue: queue.Queue[Event | None] = queue.Queue(WAITING)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"keyact-{name}", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Take an event; never waits."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.dropped += 1

    def close(self, seconds: float = 5.0) -> None:
        """Send what waits, for so long at most; the rest is dropped."""
        end = time.monotonic() + seconds
        try:
            self._queue.put(None, timeout=seconds)
            self._thread.join(max(0.0, end - time.monotonic()))
        except queue.Full:
            pass
        self._closed.set()
        while True:
            try:
                self.dropped += self._queue.get_nowait() is not None
            except queue.Empty:
                return

    def _run(self) -> None:
        while (event := self._queue.get()) is not None and not self._closed.is_set():
            try:
                self._send(event)
                self.delivered += 1
            except Exception as error:  # whatever it is, the next event gets its try
                self.failed += 1
                self._told(f"{self.name}: {error}")


def command(line: str, timeout: float = TIMEOUT) -> Send:
    """Runs a command for each event, without a shell.

    The event is JSON on its standard input, and its parts are in the environment as
    ``KEYACT_LABEL``, ``KEYACT_SOURCE`` and so on. What it prints goes to standard error.

    Raises
    ------
    InputError : it cannot be split into words, or there is no such program.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InputError(f"{line!r}: cannot be split into words ({error})") from None
    if not words or shutil.which(words[0]) is None:
        raise InputError(f"{line!r}: there is no program {(words or [''])[0]!r}")

    def send(event: Event) -> None:
        parts = {
            "SOURCE": event.source,
            "LABEL": event.label,
            "PROBABILITY": event.probability,
            "TRACK": event.track_id,
            "SECONDS": event.seconds,
            "FRAME": event.frame,
            "RULE": event.rule,
            "TIME": event.time,
        }
        variables = {f"KEYACT_{k}": "" if v is None else str(v) for k, v in parts.items()}
        try:
            done = subprocess.run(
                words,
                input=event.to_json().encode() + b"\n",
                env=os.environ | variables,
                timeout=timeout,
                stdout=2,  # standard output may be our JSON
                start_new_session=True,  # Ctrl-C is meant for us
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DeliveryError(f"took more than {timeout:g} s and was ended") from None
        except OSError as error:
            raise DeliveryError(f"cannot be run ({error.strerror or error})") from None
        if done.returncode:
            raise DeliveryError(f"ended with status {done.returncode}")

    return send


def webhook(address: str, timeout: float = TIMEOUT, pause: float = _PAUSE) -> Send:
    """Posts each event as JSON; a server that does not answer or is busy gets `TRIES` tries.

    Raises
    ------
    InputError : it is not a web address.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{public_address(address)}: a webhook is an http or https address")
    if parts.username is not None:
        raise InputError(f"{public_address(address)}: put a secret into the query, not before @")

    opener = urllib.request.build_opener(_NoRedirect)

    def once(event: Event) -> str | None:
        """What went wrong, if another try makes sense."""
        request = urllib.request.Request(
            address,
            data=event.to_json().encode(),
            headers={"Content-Type": "application/json", "User-Agent": "keyact"},
            method="POST",
        )
        try:
            with opener.open(request, timeout=timeout):
                return None
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in _WORTH_A_TRY and error.code < 500:
                raise DeliveryError(f"answered {error.code}") from None
            return f"answered {error.code}"
        except (OSError, ValueError) as error:  # URLError, time-outs, broken answers
            return str(getattr(error, "reason", error)) or type(error).__name__

    def send(event: Event) -> None:
        for number in range(TRIES):
            if number:
                time.sleep(pause * 2 ** (number - 1))
            wrong = once(event)
            if wrong is None:
                return
        raise DeliveryError(f"{wrong}, {TRIES} times")

    return send
