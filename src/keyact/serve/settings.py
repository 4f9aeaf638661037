"""What the operator of a server decides, checked before anything is loaded."""

from __future__ import annotations

import ipaddress
import os
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from typing_extensions import Self

MIN_TOKEN = 16  # characters; a shorter token can be guessed

Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ServeSettings(BaseModel):
    """Settings of one server; every limit is per request unless it says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on; other machines reach only addresses that are not loopback."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """0 takes a free one."""
    token: SecretStr | None = None
    """What clients send as ``Authorization: Bearer ...``."""
    allow_anonymous: bool = False
    """Serve other machines without a token."""
    hosts: tuple[str, ...] = ()
    """Names by which clients may call the server, besides its address and ``localhost``. Given,
    no others are answered; not given, other names are, by servers with a token that are not on
    loopback. So no web page can reach a server without a token under a name of its own."""
    origins: tuple[str, ...] = ()
    """Web pages of other origins that may use the server, such as ``https://example.org``."""

    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("keypoint-fusion",)
    """Action models that clients may choose, the first one by default."""
    poses: Annotated[tuple[str, ...], Field(min_length=1)] = ("fastpose-m",)
    """Pose backends that clients may choose, the first one by default."""
    detector: str = "persondet-m"
    sequence: str | None = None
    """Sequence network for clips and streams; the default one when not given, ``none`` for none."""
    max_people: Positive = 50
    explain: bool = True
    """Answer ``/v1/explain``, which costs some hundred runs of the action model."""
    page: bool = True
    """Serve the web page."""

    workers: Positive = Field(default_factory=lambda: (os.cpu_count() or 1) + 1)
    """Photos worked on at once."""
    threads: Positive = 1
    """CPU threads of one run of a network."""
    batch: Positive = 8
    """Rows of different requests that one run of a network takes together; 1 for no batching."""
    queue: Annotated[int, Field(ge=0)] = 64
    """Photos that may wait; one more is refused with 429."""
    max_clips: Positive = 2
    """Clips and explanations worked on at once; one more is refused with 429."""
    max_streams: Positive = 4
    """Streams at once; one more is refused."""
    timeout: Seconds = 30.0
    """Seconds a photo may take, waiting included; then 503."""
    clip_timeout: Seconds = 600.0
    """Seconds a clip or an explanation may take; then 503."""
    idle_timeout: Seconds = 30.0
    """Seconds without a frame, or without a byte of an upload, after which it is given up."""
    drain_timeout: Seconds = 30.0
    """Seconds that work in progress gets to end after SIGTERM."""

    max_photo_bytes: Positive = 20 * 2**20
    max_clip_bytes: Positive = 200 * 2**20
    max_frame_bytes: Positive = 4 * 2**20
    """Size of one frame of a stream."""
    max_pixels: Positive = 40_000_000
    """Pixels of a photo or of a frame."""
    max_frames: Positive = 3000
    """Frames of a clip that are looked at."""
    max_photos: Positive = 8
    """Photos in one request of the Open Inference Protocol."""

    log: Literal["json", "text", "off"] = "json"

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            text = token.get_secret_value()
            if len(text) < MIN_TOKEN or not text.isascii() or not text.isprintable():
                raise ValueError(
                    f"a token has at least {MIN_TOKEN} printable ASCII characters; make one with "
                    '`python -c "import secrets; print(secrets.token_urlsafe())"`'
                )
        return token

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            scheme, _, rest = origin.partition("://")
            if scheme not in ("http", "https") or not rest or "/" in rest or "*" in rest:
                raise ValueError(f"{origin!r} is no origin; write it like https://example.org")
        return origins

    @model_validator(mode="after")
    def _not_open_to_all(self) -> Self:
        if not (self.loopback or self.token or self.allow_anonymous):
            raise ValueError(
                f"{self.host} can be reached from other machines: set a token (KEYACT_TOKEN), or "
                "say --allow-anonymous if everybody there may use the server"
            )
        return self

    @property
    def requests(self) -> int:
        """Requests with a body that may be in progress, those included that are being received."""
        return self.workers + self.queue + self.max_clips

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
