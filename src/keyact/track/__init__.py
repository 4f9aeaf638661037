"""The same person across the frames of a video: stable numbers, steady key points.

A tracker is any object with the call of `keyact.track.base.Tracker`.
"""

from __future__ import annotations

from keyact.track.base import Tracker
from keyact.track.bytetrack import ByteTrack
from keyact.track.follow import Follower

__all__ = ["ByteTrack", "Follower", "Tracker"]
