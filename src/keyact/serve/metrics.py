"""Figures for Prometheus, each server's in a registry of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from keyact.results import FrameResult

if TYPE_CHECKING:
    from keyact.serve.service import Service

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What a server counts."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "keyact_requests_total", "Answers.", ("route", "method", "status"), registry=registry
        )
        self.seconds = Histogram(
            "keyact_request_seconds", "Time to the answer.", ("route",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.stages = Histogram(
            "keyact_stage_seconds", "Time of each stage.", ("stage",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.frames = Counter("keyact_frames_total", "Pictures recognised.", registry=registry)
        self.people = Counter("keyact_people_total", "People found.", registry=registry)
        self.refused = Counter(
            "keyact_refused_total", "Work that was not done.", ("reason",), registry=registry
        )
        self.dropped = Counter(
            "keyact_stream_frames_dropped_total",
            "Frames of streams that a newer one replaced before their turn.",
            registry=registry,
        )
        self.rows = Histogram(
            "keyact_batch_rows", "Rows of one run of a network.", ("network",),
            buckets=(1, 2, 4, 8, 16, 32), registry=registry,
        )  # fmt: skip
        self._gauges = {
            name: Gauge(f"keyact_{name}", text, registry=registry)
            for name, text in (
                ("running", "Pictures worked on now."),
                ("waiting", "Pictures that wait for a worker."),
                ("in_progress", "Requests with a body, from its first byte to the answer."),
                ("clips", "Clips and explanations worked on now."),
                ("streams", "Open streams."),
                ("ready", "1 when new work is accepted."),
            )
        }

    def seen(self, result: FrameResult) -> None:
        """Count a picture."""
        self.frames.inc()
        self.people.inc(len(result.people))
        for stage, milliseconds in result.timings_ms.items():
            if stage != "total":
                self.stages.labels(stage).observe(milliseconds / 1000)

    def text(self, service: Service) -> bytes:
        """The text format, as of now."""
        for name, value in (
            ("running", service.work.running),
            ("waiting", service.work.waiting),
            ("in_progress", service.requests.taken),
            ("clips", service.clips.taken),
            ("streams", service.streams.taken),
            ("ready", service.ready),
        ):
            self._gauges[name].set(value)
        return generate_latest(self.registry)
