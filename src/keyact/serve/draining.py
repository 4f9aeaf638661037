"""uvicorn's server, which lets what is in progress end."""

from __future__ import annotations

import signal
from types import FrameType

import uvicorn

from keyact.serve.service import Service


class DrainingServer(uvicorn.Server):
    """Is not ready any more from the signal on, also for connections that are open."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Unlike uvicorn's own, does not end the process by the signal once all is done: the
        # status is 0.
        self._service.drain()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
