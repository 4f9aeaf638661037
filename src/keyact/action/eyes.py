"""What a sequence network sees of the pictures: a photo network's features of each person.

The features are all that keypoint-fusion's last layer is given: MobileNetV2 on the whole photo
and on the person, pooled under Gaussians at the key points and sampled at each joint, gated by
how sure the key points are. They lie in the sequence network's own file, so that file is all there
is to keep: beside ``x`` it has the inputs ``context``, ``crop`` and ``keypoints`` of
`keyact.action.keypoint_fusion` and beside ``logits`` the output ``glances`` (N, D). Either half
is only computed when its inputs have rows.

The metadata says under ``eyes``: ``width`` D, ``input`` and ``crop_margin`` of the crops,
``every``, the least seconds from one glance at a person to the next, and ``name`` and ``sha256``
of the network that it was taken from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.action.keypoint_fusion import BATCH, person_crops, whole_photo
from keyact.errors import WeightsError
from keyact.runtime import OnnxModel

INPUTS = ("context", "crop", "keypoints")
OUTPUT = "glances"
_EPSILON = 1e-6


class Eyes:
    """Looks at people in pictures.

    Parameters
    ----------
    model : a network with `INPUTS` and `OUTPUT`, whatever else it has.
    about : ``eyes`` of its metadata.

    Attributes
    ----------
    about : as given.
    width : D.
    every : seconds.

    Raises
    ------
    WeightsError : it is something else.
    """

    def __init__(self, model: OnnxModel, about: Mapping[str, Any]) -> None:
        try:
            self.width = int(about["width"])
            self.every = float(about["every"])
            self._size = int(about["input"][0])
            self._margin = float(about["crop_margin"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise WeightsError(f"{model.source}: bad eyes metadata ({error!r})") from error
        in_range = (
            self.width > 0
            and 0 < self.every <= 60
            and 32 <= self._size <= 1024
            and 0.5 <= self._margin <= 10
        )
        if not in_range or not set(INPUTS) <= set(model.inputs) or OUTPUT not in model.outputs:
            raise WeightsError(f"{model.source}: cannot look at pictures: {dict(about)}")
        self.about = dict(about)
        self._model = model
        self._idle = idle(model, *INPUTS)

    def due(self, last: float | None, now: float) -> bool:
        """Whether to look again at a person last looked at then, in seconds."""
        return last is None or now - last >= self.every - _EPSILON

    def moments(self, seconds: ArrayLike) -> NDArray[np.intp]:
        """Which of the times (L,) at which a person was seen are looked at."""
        chosen: list[int] = []
        last: float | None = None
        for place, now in enumerate(np.asarray(seconds, np.float64).tolist()):
            if self.due(last, now):
                chosen.append(place)
                last = now
        return np.array(chosen, np.intp)

    def __call__(
        self, image: NDArray[np.uint8], boxes: ArrayLike, keypoints: ArrayLike
    ) -> NDArray[np.float32]:
        """Features (N, D) of people in a photo (H, W, 3) BGR.

        Parameters
        ----------
        boxes : (N, 4) xyxy and ``keypoints`` (N, 17, 3) in the layout coco17, in photo pixels.
        """
        context = whole_photo(image, self._size)[None]
        crops, points = person_crops(image, boxes, keypoints, self._size, self._margin)
        rows = [np.zeros((0, self.width), np.float32)]
        for start in range(0, len(crops), BATCH):
            part = slice(start, start + BATCH)
            feeds: dict[str, NDArray[Any]] = {
                "context": context, "crop": crops[part], "keypoints": points[part]
            }  # fmt: skip
            out = self._model.run(feeds | self._idle)[OUTPUT]
            if out.shape != (len(crops[part]), self.width):
                raise WeightsError(
                    f"{self._model.source}: glances of shape {out.shape}, not {self.width} wide"
                )
            rows.append(np.asarray(out, np.float32))
        return np.concatenate(rows)


def idle(model: OnnxModel, *fed: str) -> dict[str, NDArray[Any]]:
    """No rows for each input but ``fed``: what these are for is not computed."""
    return {
        name: np.zeros([size or 0 for size in shape], model.types[name])
        for name, shape in model.inputs.items()
        if name not in fed
    }
