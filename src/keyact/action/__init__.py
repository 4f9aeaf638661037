"""Action models: a photo with people and their key points in, probabilities of actions out.

To add one: an ONNX file of the signature in `keyact.action.keypoint_fusion` needs no code; any
other class that keeps to `keyact.action.base.ActionModel` goes into its own module and by name
into `load` and `names`.
"""

from __future__ import annotations

from pathlib import Path

from keyact import weights
from keyact.action.base import ActionModel
from keyact.action.keypoint_fusion import KeypointFusion
from keyact.action.temporal import SequenceModel
from keyact.runtime import OnnxModel

__all__ = ["ActionModel", "SequenceModel", "load", "load_sequence", "names"]


def names() -> list[str]:
    """Names that `load` knows: bundled models and the user's own."""
    return [entry.name for entry in weights.entries("action")]


def load(name_or_path: str | Path = "keypoint-fusion", threads: int | None = None) -> ActionModel:
    """An action model by name, or from an ``.onnx`` file.

    Parameters
    ----------
    threads : CPU threads of the network; None leaves it to ONNX Runtime.

    Raises
    ------
    UnknownNameError : no such model.
    WeightsError : the file is not an action model, or not the one that was shipped.
    """
    entry = weights.resolve("action", name_or_path)
    return KeypointFusion(OnnxModel(entry.path, threads=threads, sha256=entry.sha256), entry.name)


def load_sequence(
    name_or_path: str | Path | None = None,
    threads: int | None = None,
    beside: ActionModel | None = None,
) -> SequenceModel | None:
    """A sequence network by name, or from an ``.onnx`` file, for people in videos.

    Parameters
    ----------
    name_or_path : None stands for the one that keyact brings, and ``none`` for no network.
    beside : the photo model that it will work with. Beside one's own model, which has actions of
        its own, the one that keyact brings is left out unless it is asked for.

    Returns
    -------
    None when there is to be none.

    Raises
    ------
    UnknownNameError : no such network.
    WeightsError : the file is not a sequence network, or not the one that was shipped.
    """
    if name_or_path == "none":
        return None
    if name_or_path is None:
        photo = _default("action")
        own = beside is not None and (photo is None or beside.name != photo.name)
        entry = None if own else _default("sequence")
        if entry is None:
            return None
    else:
        entry = weights.resolve("sequence", name_or_path)
    return SequenceModel(OnnxModel(entry.path, threads=threads, sha256=entry.sha256), entry.name)


def _default(kind: str) -> weights.WeightEntry | None:
    return next((entry for entry in weights.entries(kind) if entry.default), None)
