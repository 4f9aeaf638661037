from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyact.errors import UnknownNameError
from keyact.pose.decode import METHODS, decode

HEIGHT, WIDTH = 64, 48


def gaussian(x: float, y: float, sigma: float = 2.0) -> np.ndarray:
    columns = np.exp(-((np.arange(WIDTH) - x) ** 2) / (2 * sigma**2))
    rows = np.exp(-((np.arange(HEIGHT) - y) ** 2) / (2 * sigma**2))
    heatmap = rows[:, None] * columns[None, :]
    return np.asarray(heatmap / heatmap.sum(), np.float32)


@pytest.mark.parametrize(
    ("method", "tolerance"),
    [("argmax", 0.5001), ("quarter", 0.2501), ("integral", 0.03), ("dark", 0.01)],
)
@given(x=st.floats(6, WIDTH - 7), y=st.floats(6, HEIGHT - 7), scale=st.floats(1e-3, 1e3))
@settings(max_examples=60)
def test_gaussian_is_found(method: str, tolerance: float, x: float, y: float, scale: float) -> None:
    heatmap = gaussian(x, y) * np.float32(scale)
    cells, peak = decode(heatmap[None, None], method)
    assert np.abs(cells[0, 0] - [x, y]).max() <= tolerance
    assert peak[0, 0] == heatmap.max()


def test_dark_without_smoothing_is_exact_up_to_the_border() -> None:
    for x, y in ((0.0, 0.0), (0.3, 20.2), (47.0, 63.0), (46.6, 1.4)):
        cells, _ = decode(gaussian(x, y)[None, None], "dark", sigma=0)
        np.testing.assert_allclose(cells[0, 0], [x, y], atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_each_map_is_decoded_alone_and_in_order(method: str) -> None:
    centres = np.random.default_rng(0).uniform(8, 40, (3, 5, 2))
    maps = np.stack([[gaussian(*centre) for centre in row] for row in centres])
    cells, peak = decode(maps, method)
    assert cells.shape == (3, 5, 2) and peak.shape == (3, 5)
    single, _ = decode(maps[1:2, 2:3], method)
    np.testing.assert_allclose(single[0, 0], cells[1, 2], atol=1e-6)
    assert np.abs(cells - centres).max() <= 0.51


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "corner", [(0, 0), (WIDTH - 1, 0), (0, HEIGHT - 1), (WIDTH - 1, HEIGHT - 1)]
)
def test_peak_in_a_corner_stays_there(method: str, corner: tuple[int, int]) -> None:
    spike = np.zeros((1, 1, HEIGHT, WIDTH), np.float32)
    spike[0, 0, corner[1], corner[0]] = 1
    cells, peak = decode(spike, method)
    assert np.abs(cells[0, 0] - corner).max() <= 1 and peak[0, 0] == 1


@pytest.mark.parametrize("method", METHODS)
def test_flat_and_empty_maps_are_finite(method: str) -> None:
    for value in (0.0, 1.0):
        cells, peak = decode(np.full((1, 2, HEIGHT, WIDTH), value, np.float32), method)
        assert np.isfinite(cells).all() and (peak == value).all()
    cells, peak = decode(np.zeros((0, 17, HEIGHT, WIDTH), np.float32), method)
    assert cells.shape == (0, 17, 2) and peak.shape == (0, 17)


def test_a_second_person_does_not_pull_the_joint() -> None:
    heatmap = gaussian(12, 20) + 0.8 * gaussian(36, 50)
    for method in METHODS:
        cells, _ = decode(heatmap[None, None], method)
        assert np.abs(cells[0, 0] - [12, 20]).max() < 0.1, method


def test_bad_arguments() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'dark'"):
        decode(np.zeros((1, 1, 8, 8)), "drak")
    for shape in ((1, 8, 8), (1, 1, 2, 8)):
        with pytest.raises(ValueError, match="heatmaps"):
            decode(np.zeros(shape))
