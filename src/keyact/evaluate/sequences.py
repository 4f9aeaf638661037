"""Run a sequence network over labelled recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from keyact.action.clips import ClipModel
from keyact.data.base import Sample
from keyact.data.progress import Progress
from keyact.errors import InputError, KeyactError, UnknownNameError
from keyact.evaluate.predictions import Predictions
from keyact.sequences import UNCERTAIN
from keyact.sequences import Sequence as Recording

One = TypeVar("One", Recording, Sample)


def of_split(recordings: Sequence[One], split: str | None) -> tuple[list[One], str | None]:
    """The recordings, or clips, of a split and its name.

    Parameters
    ----------
    split : ``all`` for every recording; when None ``val``, or ``test`` where there is no ``val``,
        or everything where there are no splits.

    Raises
    ------
    UnknownNameError : no recording is of that split.
    """
    there: list[str] = sorted({one.split for one in recordings if one.split})
    if split is None:
        split = next((name for name in ("val", "test") if name in there), "all")
    if split == "all":
        return list(recordings), None
    if split not in there:
        raise UnknownNameError("split", split, [*there, "all"])
    return [recording for recording in recordings if recording.split == split], split


def predict_sequences(
    model: ClipModel,
    recordings: Sequence[Recording],
    *,
    only_known: bool = False,
    on_error: Callable[[str, InputError], None] | None = None,
    progress: Progress | None = None,
    dataset: str = "",
) -> Predictions:
    """What a network says of each recording that has the label of an action.

    Parameters
    ----------
    only_known : leave recordings out whose label the model does not know, instead of refusing
        them.
    on_error : told of a recording that the model cannot take; by default that is an error.

    Raises
    ------
    UnknownNameError : a label that is none of the model's.
    KeyactError : no recording is left.
    InputError : a recording is of another skeleton or number of coordinates.
    """
    places = {label: place for place, label in enumerate(model.labels)}
    nameless = (None, model.background)
    labelled = [recording for recording in recordings if recording.label not in nameless]
    strange = [str(r.label) for r in labelled if r.label not in places]
    if strange and not only_known:
        raise UnknownNameError(f"action for the model {model.name}:", strange[0], model.labels)
    kept, rows, failed = [], [], []
    known = [recording for recording in labelled if recording.label in places]
    for done, recording in enumerate(known, 1):
        try:
            rows.append(model(recording))
            kept.append(recording)
        except InputError as error:
            if on_error is None:
                raise
            on_error(recording.name, error)
            failed.append(recording.name)
        if progress is not None:
            progress(done, len(known))
    if not kept:
        raise KeyactError("no labelled recording of the model's actions")
    seen = [float((r.scores[r.mask] > UNCERTAIN).mean()) if r.mask.any() else 0.0 for r in kept]
    grouped = all(recording.group is not None for recording in kept)
    return Predictions(
        model.labels,
        tuple(recording.name for recording in kept),
        np.array([places[str(recording.label)] for recording in kept], np.intp),
        np.stack(rows),
        tuple(str(recording.group) for recording in kept) if grouped else None,
        {"frames": np.array([len(r) for r in kept]), "share_seen": np.array(seen)},
        model=model.name,
        dataset=dataset,
        unknown_threshold=model.unknown_threshold,
        failed=tuple(failed),
    )
