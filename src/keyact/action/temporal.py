"""Sequence networks: what a person does, from a window of key points.

One ONNX file: input ``x`` float32 (N, T, V, C), output ``logits`` (N, labels). All preprocessing
is `keyact.sequences.features.Features`, which the metadata holds under ``features``, beside
``labels``, ``temperature``, ``unknown_threshold``, ``stride`` (network frames from one window to
the next, T / 4 by default) and ``seen_score``: when it is given, joints of a lower score count as
`keyact.sequences.UNCERTAIN` and all others as seen, as annotators mark joints; a network that
was trained on a detector's scores leaves it out. ``background`` is the label of what is none of
the actions: its probability is given to nobody, so that those of the others may sum to little. A
network that looks at the pictures as well has ``eyes`` there (`keyact.action.eyes`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyact.action.eyes import INPUTS, OUTPUT, Eyes, idle
from keyact.action.keypoint_fusion import softmax
from keyact.errors import KeyactError, WeightsError
from keyact.layouts import convert
from keyact.runtime import OnnxModel
from keyact.sequences.features import Features
from keyact.sequences.glances import Glances
from keyact.sequences.sequence import UNCERTAIN

BATCH = 32  # windows per run: memory stays bounded for long videos


class SequenceModel:
    """Names actions from key points over time.

    Parameters
    ----------
    model : its metadata must say ``"kind": "sequence"``.
    name : what to call it.

    Attributes
    ----------
    labels, unknown_threshold : as of `keyact.action.base.ActionModel`.
    background : the label of what is none of the actions; it is not among ``labels``.
    features : what the network sees.
    step : seconds from one window to the next.
    eyes : what looks at the pictures; None for a network of key points alone.

    Raises
    ------
    WeightsError : metadata or signature of another kind of network.
    """

    def __init__(self, model: OnnxModel, name: str) -> None:
        meta = model.meta
        looks = "eyes" in meta
        model.require(
            "sequence",
            inputs=("x", *INPUTS) if looks else ("x",),
            outputs=("logits", OUTPUT) if looks else ("logits",),
        )
        self.name = name
        self._model = model
        self._idle = idle(model, "x")
        try:
            self.labels: tuple[str, ...] = tuple(str(label) for label in meta["labels"])
            self.features = Features.from_dict(meta["features"])
            self.temperature = float(meta.get("temperature", 1.0))
            self.unknown_threshold = float(meta.get("unknown_threshold", 0.0))
            stride = int(meta.get("stride", max(1, self.features.frames // 4)))
            seen = meta.get("seen_score")
            self.seen_score = None if seen is None else float(seen)
            self.background = meta.get("background")
            self._outputs = len(self.labels)
            self._actions = [i for i, name in enumerate(self.labels) if name != self.background]
            self.labels = tuple(self.labels[i] for i in self._actions)
        except (KeyError, TypeError, ValueError, KeyactError) as error:
            raise WeightsError(f"{model.source}: bad sequence metadata ({error})") from error
        if not (
            self.labels
            and len(set(self.labels)) == len(self.labels)
            and self.temperature > 0
            and 0 <= self.unknown_threshold <= 1
            and 1 <= stride <= self.features.frames
            and (self.seen_score is None or 0 <= self.seen_score <= 1)
        ):
            raise WeightsError(f"{model.source}: sequence metadata out of range: {meta}")
        self.eyes = Eyes(model, meta["eyes"]) if looks else None
        if self.features.glances != (0 if self.eyes is None else self.eyes.width):
            raise WeightsError(f"{model.source}: its features and its eyes do not fit each other")
        self.step = stride / self.features.fps

    @property
    def window(self) -> float:
        """Seconds of a window."""
        return self.features.seconds

    def __call__(self, x: ArrayLike) -> NDArray[np.float32]:
        """Calibrated probabilities (N, labels) of inputs (N, T, V, C)."""
        inputs = np.asarray(x, np.float32)
        if inputs.shape[1:] != self.features.shape:
            raise ValueError(f"windows have shape {self.features.shape}, got {inputs.shape[1:]}")
        rows = [np.zeros((0, self._outputs), np.float32), *self._batches(inputs)]
        every = softmax(np.asarray(np.concatenate(rows) / self.temperature, np.float32))
        return every[:, self._actions]

    def joints(self, keypoints: ArrayLike, layout: str) -> NDArray[np.float32]:
        """Key points (..., K, 3) of a pose backend as the network's joints and scores.

        Raises
        ------
        UnknownNameError : no such layout, or the network is of no registered one.
        """
        points = convert(keypoints, layout, self.features.skeleton.layout)
        if self.seen_score is not None:
            score = points[..., 2]
            points[..., 2] = np.where(
                score >= self.seen_score, 1, np.where(score > 0, UNCERTAIN, 0)
            )
        return points

    def input(
        self,
        seconds: NDArray[np.float64],
        joints: NDArray[np.float32],
        start: float,
        stop: float,
        glances: Glances | None = None,
    ) -> NDArray[np.float32] | None:
        """One window (T, V, C) of a person; None when the person was not seen in it.

        Parameters
        ----------
        seconds : (L,) increasing times at which the person was seen.
        joints : (L, V, 3) then, as `joints` gives them.
        start, stop : of the window, in seconds; only what lies between them counts.
        glances : at the person, in seconds; None when nobody looked.
        """
        features = self.features
        inside = (seconds >= start - 1e-6) & (seconds <= stop + 1e-6)
        times, some = seconds[inside], joints[inside]
        if not len(times):
            return None
        rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else features.fps
        points, scores = features.preprocess.clean(
            some[None, ..., :2], some[None, ..., 2], features.skeleton, rate
        )
        at = np.interp(np.linspace(start, stop, features.frames), times, np.arange(len(times)))
        points, scores = features.cut_at(points, scores, at)
        encoded = features.encode(features.place(points), scores)
        if features.glances:
            seen = glances and glances.cut(start - 1e-6, stop + 1e-6)
            encoded = features.join(encoded, features.glanced(seen, (0, stop - start)))
        return np.asarray(encoded, np.float32)

    def _batches(self, inputs: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(inputs), BATCH):
            part = inputs[start : start + BATCH]
            out = self._model.run({"x": part} | self._idle)["logits"]
            if out.shape != (len(part), self._outputs):
                raise WeightsError(
                    f"{self._model.source}: logits of shape {out.shape} do not fit "
                    f"{self._outputs} labels"
                )
            yield np.asarray(out, np.float32)
