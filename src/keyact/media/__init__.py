"""Photos and videos in: loading, finding files, reading frames."""

from __future__ import annotations

from keyact.media.image import ImageLimits, ImageSource, load_image, source_name
from keyact.media.sources import MediaItem, find_media
from keyact.media.video import VideoLimits, iter_frames

__all__ = [
    "ImageLimits",
    "ImageSource",
    "MediaItem",
    "VideoLimits",
    "find_media",
    "iter_frames",
    "load_image",
    "source_name",
]
