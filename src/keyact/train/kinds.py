"""Which model to train when none is named: that follows from what the data are."""

from __future__ import annotations

from keyact.data.kinds import kind_of

PHOTO_MODEL = "keypoint-fusion"
SEQUENCE_MODEL = "stream-ensemble"


def default_model(data: object, format: str | None = None) -> str:
    """A photo model for photos, a sequence model for video clips and for key points over time.

    Parameters
    ----------
    data, format : as `keyact.data.kinds.kind_of` takes them.
    """
    return PHOTO_MODEL if kind_of(data, format) == "photos" else SEQUENCE_MODEL
