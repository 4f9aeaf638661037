"""People that another program found, from a key point cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyact.formats.cache import KeypointCache, open_cache


class Precomputed:
    """See `keyact.detect.base.Detector`.

    Parameters
    ----------
    cache : of ``keyact import``.
    score_threshold : least score of a box.
    """

    name = "precomputed"

    def __init__(self, cache: KeypointCache, score_threshold: float = 0.0) -> None:
        self._cache = cache
        self._threshold = score_threshold

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Cached boxes and scores, highest score first.

        Raises
        ------
        InputError : the photo is not in the cache.
        """
        photo = self._cache(image)
        kept = photo.scores >= self._threshold
        return photo.boxes[kept], photo.scores[kept]


def load(
    source: str | None, *, threads: int | None = None, score_threshold: float | None = None
) -> Precomputed:
    """The detector of a cache; without a threshold all its people are found.

    Raises
    ------
    InputError : no file, or not a key point cache.
    """
    return Precomputed(open_cache(source), score_threshold or 0.0)
