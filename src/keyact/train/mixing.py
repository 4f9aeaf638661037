"""Mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019) of a batch of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def mix(
    inputs: Arrays,
    targets: NDArray[np.float32],
    mixup: float,
    cutmix: float,
    rng: np.random.Generator,
) -> tuple[Arrays, NDArray[np.float32]]:
    """Each sample with another of the batch; one way for the whole batch.

    Pictures (uint8, N x H x W x 3) are blended, or a rectangle of the other's is pasted.
    ``keypoints`` (N, K, 3) stay those of the picture that shows more, their scores lowered as the
    picture is faded; joints under the rectangle are no longer seen. Other arrays are blended.

    Parameters
    ----------
    mixup, cutmix : alpha of the Beta distribution of the shares; 0 for never. With both, either
        one at random.
    """
    ways = [way for way, alpha in (("mixup", mixup), ("cutmix", cutmix)) if alpha > 0]
    if not ways or len(targets) < 2:
        return inputs, targets
    way = ways[int(rng.integers(len(ways)))]
    alpha = mixup if way == "mixup" else cutmix
    share = float(rng.beta(alpha, alpha))
    share = max(share, 1 - share)
    other = rng.permutation(len(targets))
    place = rng.random(2)
    if way == "mixup":
        mixed = {name: _blend(name, array, array[other], share) for name, array in inputs.items()}
    else:
        mixed, share = _paste(inputs, other, share, place)
    return mixed, np.asarray(share * targets + (1 - share) * targets[other], np.float32)


def _blend(name: str, one: NDArray[Any], two: NDArray[Any], share: float) -> NDArray[Any]:
    if name == "keypoints":
        faded = one.copy()
        faded[..., 2] *= share
        return faded
    blended = one.astype(np.float32) * share + two.astype(np.float32) * (1 - share)
    if one.dtype == np.uint8:
        blended = np.rint(blended)
    return blended.astype(one.dtype)


def _paste(
    inputs: Arrays, other: NDArray[np.intp], share: float, place: NDArray[np.float64]
) -> tuple[Arrays, float]:
    """The batch with a rectangle of the others', and the share that is left of its own."""
    pictures = {n: a for n, a in inputs.items() if a.dtype == np.uint8 and a.ndim == 4}
    if not pictures:  # nothing to paste: arrays are blended instead
        return {n: _blend(n, a, a[other], share) for n, a in inputs.items()}, share
    mixed = dict(inputs)
    side = np.sqrt(1 - share)
    for name, array in pictures.items():
        size = np.array(array.shape[1:3])
        span = np.rint(side * size).astype(int)
        top, left = (place * (size - span + 1)).astype(int)
        bottom, right = top + span[0], left + span[1]
        mixed[name] = array.copy()
        mixed[name][:, top:bottom, left:right] = array[other, top:bottom, left:right]
        share = 1 - float(span.prod() / size.prod())
        if name == "crop" and "keypoints" in inputs:
            points = inputs["keypoints"].copy()
            x, y = points[..., 0], points[..., 1]
            hidden = (x >= left) & (x < right) & (y >= top) & (y < bottom)
            points[..., 2][hidden] = 0
            mixed["keypoints"] = points
    return mixed, share
