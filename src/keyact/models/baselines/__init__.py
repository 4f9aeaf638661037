"""Time series classifiers of aeon (extra ``aeon``) on recordings: what networks are measured by.

Random convolutions and a linear classifier on the prepared joints, each joint's coordinate a
channel. They are no networks, so they are not among `keyact.models.model_names`, and no ONNX file
comes of them; ``benchmarks/temporal.py`` reports them beside the networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import KeyactError, UnknownNameError
from keyact.sequences import Features
from keyact.sequences import Sequence as Recording

BASELINES = {
    "minirocket": "MiniRocketClassifier",  # Dempster et al., KDD 2021
    "multirocket": "MultiRocketClassifier",  # Tan et al., DMKD 2022
    "rocket": "RocketClassifier",  # Dempster et al., DMKD 2020
    "hydra": "MultiRocketHydraClassifier",  # Dempster et al., DMKD 2023
}
"""Name -> class of ``aeon.classification.convolution_based``."""


def baseline(name: str, seed: int = 0, threads: int = 1) -> Any:
    """An untrained classifier with aeon's ``fit`` and ``predict`` on (N, channels, T).

    Raises
    ------
    UnknownNameError : none of `BASELINES`.
    KeyactError : aeon is not installed.
    """
    if name not in BASELINES:
        raise UnknownNameError("baseline", name, BASELINES)
    try:
        home = import_module("aeon.classification.convolution_based")
    except ImportError:
        raise KeyactError(f"{name}: needs aeon; python -m pip install 'keyact[aeon]'") from None
    return getattr(home, BASELINES[name])(random_state=seed, n_jobs=threads)


def series(recordings: Sequence[Recording], features: Features) -> NDArray[np.float32]:
    """(N, channels, T) of whole recordings: a channel for each stream's number at each joint."""
    rows = [features(recording)[0] for recording in recordings]
    frames = features.frames
    flat = np.stack(rows).reshape(len(rows), frames, -1)
    return np.ascontiguousarray(flat.transpose(0, 2, 1), np.float32)
