"""Compute something for many keys once: what the cache has is read, the rest computed in batches.

    cache = FeatureCache("mobilenetv2", {"weights": sha256, "size": 224}, dtype=np.float16)
    for arrays in cache.map(keys, compute):
        ...  # {"features": (7, 7, 1280) float16}

The results do not depend on what was cached: computed arrays are given back as they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from keyact.data.store import Arrays, ArrayStore, cache_dir
from keyact.errors import InputError

Compute = Callable[[Sequence[int]], "Sequence[Mapping[str, NDArray[Any]] | InputError]"]
"""Positions in the list of keys -> arrays by name for each, or why there are none."""

BATCH = 64


class FeatureCache:
    """Arrays that were computed once for a key and the given settings.

    Parameters
    ----------
    kind : what is kept: lower-case letters, digits and dashes.
    settings : all that the arrays depend on besides the key, JSON values only; above all the
        hash of the network. Names of networks go
        under ``"name"``: `keyact cache` shows them and prunes by them.
    cache : folder; None takes `keyact.data.store.cache_dir`, False keeps nothing.
    batch : keys that are computed and written together. A killed run repeats at most one batch.
    dtype : what floating point arrays are kept and given as; float16 halves the disk's share.
    """

    def __init__(
        self,
        kind: str,
        settings: Mapping[str, object],
        *,
        cache: str | Path | Literal[False] | None = None,
        batch: int = BATCH,
        dtype: DTypeLike | None = None,
    ) -> None:
        if batch < 1:
            raise ValueError(f"batch must be at least 1, not {batch}")
        self.batch = batch
        self.dtype = None if dtype is None else np.dtype(dtype)
        self.store: ArrayStore | None = None
        if cache is not False:
            kept_as = {} if self.dtype is None else {"dtype": self.dtype.name}
            self.store = ArrayStore(cache or cache_dir(), kind, {**settings, **kept_as})

    def map(
        self, keys: Iterable[str | InputError], compute: Compute
    ) -> Iterator[Arrays | InputError]:
        """The arrays of each key, in order.

        Parameters
        ----------
        keys : a key per item, hexadecimal; an error in its place is given back as it is. They
            are taken a batch at a time.
        compute : is given the positions of those of a batch that are not in the cache, each key
            once. An `InputError` in the place of an item's arrays is not kept.
        """
        if self.store is not None:
            self.store.touch()
        remaining = iter(keys)
        start = 0
        while window := list(islice(remaining, self.batch)):
            found = self._window(window, start, compute)
            for key in window:
                yield key if isinstance(key, InputError) else found[key]
            start += len(window)

    def _window(
        self, window: list[str | InputError], start: int, compute: Compute
    ) -> dict[str, Arrays | InputError]:
        found: dict[str, Arrays | InputError] = {}
        missing: dict[str, int] = {}
        for i, key in enumerate(window, start):
            if isinstance(key, InputError) or key in found or key in missing:
                continue
            arrays = None if self.store is None else self.store.get(key)
            if arrays is None:
                missing[key] = i
            else:
                found[key] = arrays
        if not missing:
            return found
        computed: dict[str, Arrays] = {}
        for key, result in zip(missing, compute(list(missing.values())), strict=True):
            if isinstance(result, InputError):
                found[key] = result
            else:
                found[key] = computed[key] = {n: self._kept(array) for n, array in result.items()}
        if self.store is not None:
            self.store.put_many(computed)
        return found

    def _kept(self, array: NDArray[Any]) -> NDArray[Any]:
        if self.dtype is None or not np.issubdtype(array.dtype, np.floating):
            return array
        return array.astype(self.dtype)
