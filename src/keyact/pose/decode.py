"""From heatmaps to joint positions with sub-cell precision."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from keyact.errors import UnknownNameError

DecodeMethod = Literal["argmax", "quarter", "integral", "dark"]
METHODS: tuple[str, ...] = get_args(DecodeMethod)

Floats = NDArray[np.floating]
_TINY = 1e-10  # floor before the logarithm; far below any probability that matters
_MAX_STEP = 1.0  # cells; a Taylor step beyond the next cell is noise, not a peak


def decode(
    heatmaps: Floats, method: str = "dark", sigma: float = 2.0
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Locate the joint in each heatmap.

    Parameters
    ----------
    heatmaps : (N, K, h, w), non-negative, any scale.
    method :
        ``"argmax"``: the strongest cell.
        ``"quarter"``: the strongest cell moved a quarter cell towards its stronger
        neighbour on each axis (Newell et al. 2016).
        ``"integral"``: the mean position (Sun et al., ECCV 2018) over a window of
        +-3 sigma round the strongest cell, so that a second person in the crop does not
        pull the joint away; the symmetric cut pulls a little towards that cell.
        ``"dark"``: smooth with the target's Gaussian, then one Newton step of the map's
        logarithm from its strongest cell (Zhang et al., CVPR 2020); exact for a Gaussian.
    sigma : standard deviation in cells of the Gaussian the network was trained on. 0 with
        ``"dark"`` skips the smoothing.

    Returns
    -------
    cells : (N, K, 2) float64, x and y in heatmap cells (cell centres are integers).
    peak : (N, K) float32, the largest value of each map.

    Raises
    ------
    ValueError : heatmaps that are not 4-dimensional or smaller than 3 x 3 cells.
    UnknownNameError : no such method.
    """
    maps = np.asarray(heatmaps, np.float32)
    if maps.ndim != 4 or min(maps.shape[2:]) < 3:
        raise ValueError(f"heatmaps must be (N, K, h >= 3, w >= 3), got {maps.shape}")
    if method not in METHODS:
        raise UnknownNameError("decode method", method, METHODS)
    flat = maps.reshape(-1, *maps.shape[2:])
    if len(flat) == 0:
        return np.zeros((*maps.shape[:2], 2)), np.zeros(maps.shape[:2], np.float32)
    peak = flat.max((1, 2))
    if method == "dark":
        cells = _dark(flat, sigma)
    elif method == "integral":
        cells = _integral(flat, sigma)
    elif method == "quarter":
        cells = _quarter(flat)
    else:
        cells = _strongest(flat).astype(np.float64)
    return cells.reshape(*maps.shape[:2], 2), peak.reshape(maps.shape[:2])


def _strongest(maps: Floats) -> NDArray[np.intp]:
    """(M, 2) x and y of each map's strongest cell."""
    width = maps.shape[2]
    index = maps.reshape(len(maps), -1).argmax(1)
    return np.stack([index % width, index // width], 1)


def _patches(maps: Floats, centre: NDArray[np.intp]) -> Floats:
    """(M, 3, 3) neighbourhoods; ``centre`` must lie inside the outer ring of cells."""
    offset = np.arange(-1, 2)
    rows = centre[:, 1, None, None] + offset[None, :, None]
    columns = centre[:, 0, None, None] + offset[None, None, :]
    return np.asarray(maps[np.arange(len(maps))[:, None, None], rows, columns])


def _inside(maps: Floats, cells: NDArray[np.intp]) -> NDArray[np.intp]:
    """The nearest cells that have neighbours on all sides."""
    return np.clip(cells, 1, [maps.shape[2] - 2, maps.shape[1] - 2])


def _quarter(maps: Floats) -> NDArray[np.float64]:
    strongest = _strongest(maps)
    centre = _inside(maps, strongest)
    patch = _patches(maps, centre)
    slope = np.stack([patch[:, 1, 2] - patch[:, 1, 0], patch[:, 2, 1] - patch[:, 0, 1]], 1)
    # On the outer ring there is no neighbour to compare with on one side: no shift.
    return np.asarray(strongest + 0.25 * np.sign(slope) * (centre == strongest), np.float64)


def _integral(maps: Floats, sigma: float) -> NDArray[np.float64]:
    height, width = maps.shape[1:]
    strongest = _strongest(maps)
    radius = max(1, round(3 * sigma))
    near_x = np.abs(np.arange(width) - strongest[:, :1]) <= radius
    near_y = np.abs(np.arange(height) - strongest[:, 1:]) <= radius
    mass = np.maximum(maps, 0) * near_y[:, :, None] * near_x[:, None, :]
    along_x, along_y = mass.sum(1, dtype=np.float64), mass.sum(2, dtype=np.float64)
    total = along_x.sum(1)
    mean = np.stack([along_x @ np.arange(width), along_y @ np.arange(height)], 1)
    safe = np.where(total > 0, total, 1.0)[:, None]
    return np.where(total[:, None] > 0, mean / safe, strongest)


def _gaussian_rows(size: int, sigma: float) -> NDArray[np.float32]:
    """(size, size) smoothing matrix; the map is taken as 0 beyond its border.

    Rows normalised to 1 would flatten peaks near the border: a joint 2 cells from it
    would be read 1.4 cells off, instead of 0.2.
    """
    distance = np.arange(size)[:, None] - np.arange(size)[None, :]
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    return np.asarray(weights / weights.sum(1).max(), np.float32)


def _dark(maps: Floats, sigma: float) -> NDArray[np.float64]:
    height, width = maps.shape[1:]
    if sigma > 0:
        maps = _gaussian_rows(height, sigma) @ maps @ _gaussian_rows(width, sigma).T
    strongest = _strongest(maps)
    centre = _inside(maps, strongest)
    log = np.log(np.maximum(_patches(maps, centre), _TINY).astype(np.float64))
    dx = (log[:, 1, 2] - log[:, 1, 0]) / 2
    dy = (log[:, 2, 1] - log[:, 0, 1]) / 2
    dxx = log[:, 1, 2] - 2 * log[:, 1, 1] + log[:, 1, 0]
    dyy = log[:, 2, 1] - 2 * log[:, 1, 1] + log[:, 0, 1]
    dxy = (log[:, 2, 2] - log[:, 2, 0] - log[:, 0, 2] + log[:, 0, 0]) / 4
    determinant = dxx * dyy - dxy**2
    # Only a strict maximum (negative definite Hessian) has a peak to step to.
    peaked = (determinant > 1e-9) & (dxx < 0)
    safe = np.where(peaked, determinant, 1.0)
    step = np.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], 1) / safe[:, None]
    cells = centre + np.where(peaked[:, None], step, strongest - centre)
    return np.clip(cells, strongest - _MAX_STEP, strongest + _MAX_STEP)
