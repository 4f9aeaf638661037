"""A sequence network on whole recordings: one answer for each `keyact.sequences.Sequence`.

The network is the one of `keyact.action.temporal`; ``test`` in its metadata says which looks at a
recording are averaged (`keyact.sequences.views`). NumPy and ONNX Runtime alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyact import weights
from keyact.action.temporal import SequenceModel
from keyact.errors import InputError, KeyactError, WeightsError
from keyact.runtime import OnnxModel
from keyact.sequences.sequence import Sequence
from keyact.sequences.views import Views


class ClipModel:
    """Names the action of recordings.

    Parameters
    ----------
    name_or_path : a sequence network by name, or its file, such as ``runs/NAME/model.onnx``.
    threads : CPU threads; None leaves it to ONNX Runtime.

    Attributes
    ----------
    name, labels, background, features, unknown_threshold : as of `keyact.action.SequenceModel`.
    views : the looks at each recording.

    Raises
    ------
    UnknownNameError : no such network.
    WeightsError : not the file of a sequence network.
    """

    def __init__(self, name_or_path: str | Path, threads: int | None = None) -> None:
        entry = weights.resolve("sequence", name_or_path)
        onnx = OnnxModel(entry.path, threads=threads, sha256=entry.sha256)
        self.windows = SequenceModel(onnx, entry.name)
        self.name, self.labels = self.windows.name, self.windows.labels
        self.features = self.windows.features
        self.background = self.windows.background
        self.unknown_threshold = self.windows.unknown_threshold
        try:
            self.views = Views.from_dict(onnx.meta["test"]) if "test" in onnx.meta else Views()
        except InputError as error:
            raise WeightsError(f"{onnx.source}: {error}") from None
        if self.views.flip and self.features.skeleton.flip is None:
            raise WeightsError(f"{onnx.source}: cannot mirror a skeleton of unknown sides")

    def __call__(self, sequence: Sequence) -> NDArray[np.float32]:
        """Calibrated probabilities (labels,) of one recording.

        Raises
        ------
        InputError : it is of another skeleton or number of coordinates, or has no glances where
            the network wants some.
        """
        if self.features.glances and sequence.glances is None:
            raise InputError(
                f"{sequence.name}: {self.name} looks at the pictures too; give it the video clips"
            )
        looks = self.views(*self.features.clean(sequence), self.features, sequence.glances)
        return np.asarray(self.windows(looks).mean(0), np.float32)

    def predict(self, sequences: Iterable[Sequence]) -> NDArray[np.float32]:
        """Calibrated probabilities (N, labels) of recordings."""
        rows = [self(sequence) for sequence in sequences]
        return np.stack(rows) if rows else np.zeros((0, len(self.labels)), np.float32)


def is_sequence_network(name_or_path: str | Path) -> bool:
    """Whether `ClipModel` is for it, not `keyact.action.load`."""
    try:
        weights.resolve("sequence", name_or_path)
    except KeyactError:
        return False
    return True
