"""Cameras, streams and files, several at once, recognised while they run.

>>> from keyact.live import watch
>>> for frame in watch(["0", "door.mp4"]):  # doctest: +SKIP
...     print(frame.source, [(p.track_id, p.settled) for p in frame.result.people])
"""

from __future__ import annotations

from keyact.live.events import Event, Rule, Triggers, parse_rule
from keyact.live.run import LiveFrame, LiveRecognizer, watch
from keyact.live.source import Source, parse_source
from keyact.live.stats import LiveSummary, SourceSummary

__all__ = [
    "Event",
    "LiveFrame",
    "LiveRecognizer",
    "LiveSummary",
    "Rule",
    "Source",
    "SourceSummary",
    "Triggers",
    "parse_rule",
    "parse_source",
    "watch",
]
