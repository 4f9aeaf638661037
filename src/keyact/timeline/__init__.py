"""What each person of a video does when: from verdicts of moments to actions with an end."""

from __future__ import annotations

from keyact.timeline.evidence import Evidence
from keyact.timeline.live import LiveTimeline
from keyact.timeline.offline import track_segments
from keyact.timeline.result import PersonTimeline, Segment, VideoTimeline
from keyact.timeline.segments import Hysteresis, Segmenter

__all__ = [
    "Evidence",
    "Hysteresis",
    "LiveTimeline",
    "PersonTimeline",
    "Segment",
    "Segmenter",
    "VideoTimeline",
    "track_segments",
]
