"""A folder of clips per label, as UCF101 and HMDB51 are: see `keyact.data.class_folders`."""

from __future__ import annotations

from functools import partial

from keyact.data.base import DataFormat
from keyact.data.class_folders import OPTIONS, looks_like, read

FORMAT = DataFormat(
    name="video-folders",
    summary="a folder of video clips per label, with or without train, val and test folders above",
    detect=partial(looks_like, kind="videos"),
    load=partial(read, kind="videos", format="video-folders"),
    options=OPTIONS,
)
