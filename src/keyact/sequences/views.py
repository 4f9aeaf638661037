"""Several looks at one clip, whose answers are averaged: parts of it, and its mirror image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keyact.errors import InputError
from keyact.sequences.augment import flip
from keyact.sequences.features import Features, clip_spans
from keyact.sequences.glances import Glances
from keyact.sequences.preprocess import Points


@dataclass(frozen=True)
class Views:
    """Which looks; the metadata of a network holds it under ``test``.

    Attributes
    ----------
    clips : parts of the clip beside the whole of it.
    fraction : length of each part.
    flip : every look once more, mirrored.
    """

    clips: int = 0
    fraction: float = 0.85
    flip: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.clips <= 100 and 0 < self.fraction <= 1):
            raise InputError(f"views out of range: {self.clips} clips of {self.fraction}")

    def __call__(
        self, points: Points, scores: Points, features: Features, glances: Glances | None = None
    ) -> Points:
        """(S, T, V, C) inputs of a network from cleaned (M, L, V, D) and (M, L, V).

        What was seen of the person is the same in the mirror: the features hardly change.
        """
        length = points.shape[1]
        spans = [*clip_spans(length), *(clip_spans(length, self.clips, self.fraction)
                                        if self.clips else ())]  # fmt: skip
        cuts = [features.cut(points, scores, span) for span in spans]
        placed = features.place(np.stack([part for part, _ in cuts]))
        sure = np.stack([part for _, part in cuts])
        seen = np.stack([features.glanced(glances, span) for span in spans])
        looks = features.join(features.encode(placed, sure), seen)
        if not self.flip:
            return looks
        mirrored = features.join(features.encode(*flip(placed, sure, features.skeleton)), seen)
        return np.concatenate([looks, mirrored])

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Views:
        """Back from `to_dict`.

        Raises
        ------
        InputError : it is something else.
        """
        try:
            return cls(int(data["clips"]), float(data["fraction"]), bool(data["flip"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not the views of a sequence network: {error!r}") from None
