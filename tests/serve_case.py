"""Pictures and a listening server for the tests of the server."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from keyact.serve import ServeSettings
from keyact.serve.run import address, build

LABELS = ("red", "green", "blue")


def picture(shift: int = 0) -> np.ndarray:
    """RGB, with what the tiny detector takes for a person."""
    pixels = np.full((96, 128, 3), 200, np.uint8)
    pixels[20:80, 30 + shift : 80 + shift] = (230, 30, 30)
    return pixels


def encoded(pixels: np.ndarray | None = None, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture() if pixels is None else pixels).save(buffer, form)
    return buffer.getvalue()


@contextmanager
def running(**settings: Any) -> Iterator[tuple[str, Any]]:
    """A listening server; gives its address and its `keyact.serve.Service`."""
    server, listening = build(ServeSettings(port=0, **settings))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    end = time.monotonic() + 60
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield address(listening), server.config.app.state.service  # type: ignore[union-attr]
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
