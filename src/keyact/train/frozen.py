"""Training the head alone, on what the frozen part of a network gives, computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from keyact.data.features import FeatureCache
from keyact.data.people import photo_key
from keyact.data.store import Arrays, content_hash
from keyact.errors import InputError
from keyact.train.augment import mirrored
from keyact.train.config import TrainConfig
from keyact.train.feed import Batch
from keyact.train.objective import class_weights, one_hot
from keyact.train.photos import PhotoSet, Seen, ahead, run_over, view_inputs

if TYPE_CHECKING:
    import keras

_VERSION = 1  # of what lies between photo and features: raise it when it changes
_ROWS = 32  # pictures that go through the network at once

Cache = str | Path | Literal[False] | None


def feature_rows(
    net: keras.Model,
    photos: PhotoSet,
    inputs: Sequence[str],
    size: int,
    margin: float,
    workers: int,
    cache: Cache = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Arrays]:
    """Per photo the output of ``net``'s part ``features``, as it is and mirrored.

    Returns
    -------
    Arrays (2, n, ...) by name, float16: n people, or one for a photo without any. Kept in the
    cache by the photo's content, its people and the network's weights.
    """
    looking = net.get_layer("features")
    settings = {
        "version": _VERSION,
        "name": net.name,
        "weights": _hash(looking.get_weights()),
        "inputs": list(inputs),
        "size": size,
        "margin": margin,
    }
    store = FeatureCache("features", settings, cache=cache, dtype=np.float16)

    def keys() -> Iterator[str | InputError]:
        for i, path in enumerate(photos.paths):
            key = photo_key(path)
            who = [photos.boxes[i].tobytes(), photos.keypoints[i].tobytes()]
            yield content_hash(b"".join([key.encode(), *who])) if isinstance(key, str) else key

    def compute(chosen: Sequence[int]) -> list[Arrays | InputError]:
        def both(place: int) -> dict[str, NDArray[Any]]:
            seen = photos.seen(chosen[place], size, margin)
            views = [view_inputs(view, inputs) for view in (seen, _mirrored(seen, size))]
            return {name: np.concatenate([view[name] for view in views]) for name in inputs}

        made = run_over(looking, ahead(range(len(chosen)), both, workers), _ROWS)
        return [
            {name: array.reshape(2, -1, *array.shape[1:]) for name, array in rows.items()}
            for rows in made
        ]

    found = []
    for done, rows in enumerate(store.map(keys(), compute), 1):
        if isinstance(rows, InputError):
            raise rows
        found.append(rows)
        if progress is not None:
            progress(done, len(photos))
    return found


class FeatureBatches:
    """Batches of kept features; see `keyact.train.feed.BatchSource`.

    An epoch has one person of each photo, plain or mirrored, as an epoch of photos has.
    """

    def __init__(
        self,
        rows: Sequence[Arrays],
        photos: PhotoSet,
        config: TrainConfig,
        taught: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        self.classes = len(photos.names)
        self._rows, self._labels, self._config, self._taught = rows, photos.labels, config, taught
        self._alone = np.array([len(boxes) == 0 for boxes in photos.boxes])
        self._batch = min(config.batch, len(photos))
        self.steps = len(photos) // self._batch
        self._weights = class_weights(config, photos.labels, photos.names)

    def batch(self, epoch: int, step: int) -> Batch:
        config = self._config
        order = np.random.default_rng([config.seed, epoch]).permutation(len(self._rows))
        chosen = order[step * self._batch : (step + 1) * self._batch]
        rng = np.random.default_rng([config.seed, epoch, step])
        picked, taught = [], []
        for i in chosen.tolist():
            rows = self._rows[i]
            side = int(rng.random() < config.augment.flip)
            who = int(rng.integers(next(iter(rows.values())).shape[1]))
            picked.append({name: array[side, who] for name, array in rows.items()})
            if self._taught is not None:
                taught.append(self._taught[i][-1 if self._alone[i] else who])
        inputs = {
            name: np.stack([one[name] for one in picked]).astype(np.float32) for name in picked[0]
        }
        labels = self._labels[chosen]
        targets = one_hot(labels, self.classes)
        if self._taught is not None:
            targets = np.concatenate([targets, np.stack(taught)], 1)
        return Batch(inputs, targets, self._weights[labels])


def _mirrored(seen: Seen, size: int) -> Seen:
    points = mirrored(seen.keypoints, size) if seen.keypoints.any() else seen.keypoints
    return Seen(seen.context[:, :, ::-1], seen.crop[:, :, ::-1], points)


def _hash(weights: Sequence[NDArray[Any]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in weights:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
