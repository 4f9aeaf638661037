"""What a cached result depends on, as a short text: another model or data set is another name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from keyact import weights
from keyact.action.base import ActionModel
from keyact.data.base import Dataset
from keyact.data.people import model_identity as stage_identity


def model_identity(model: str | Path | ActionModel) -> str:
    """The hash of the weight file, so it changes with a new training; of an object only its name
    and actions are known.

    Raises
    ------
    UnknownNameError, WeightsError : as `keyact.action.load`.
    """
    if isinstance(model, (str, Path)):
        return weights.resolve("action", model).digest()
    return fingerprint(type(model).__name__, model.name, list(model.labels))


def stage_identities(detector: str, pose: str) -> tuple[dict[str, str], dict[str, str]]:
    """Names of detector and pose backend and the hashes of the files behind them.

    Raises
    ------
    UnknownNameError, WeightsError : no such network.
    """
    return stage_identity("detector", detector), stage_identity("pose", pose)


def dataset_identity(dataset: Dataset) -> str:
    """Changes with the samples, their labels and groups, and the size or date of a file."""
    rows = []
    for sample in dataset.samples:
        try:
            status = sample.path.stat()
            state = (status.st_size, status.st_mtime_ns)
        except OSError:
            state = (-1, -1)
        rows.append((str(sample.path), sample.label, sample.group, sample.box, state))
    return fingerprint(dataset.name, rows)


def fingerprint(*parts: Any) -> str:
    """16 hexadecimal digits of JSON values; any difference in them gives others."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
