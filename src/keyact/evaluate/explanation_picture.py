"""An explanation drawn on its photo: a heat map of the places, a skeleton in the joints' worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyact.evaluate.explanation import Explanation
from keyact.evaluate.output import save_figure, write_json
from keyact.evaluate.plots import INK, blank, spoken, titled
from keyact.layouts import get_layout

LONGER = 1100  # px of the longer side that is drawn on: lines and dots have a size then
_MAP, _JOINTS = "magma", "RdBu_r"
_SHOWN = 0.2  # joint score under which a joint is not drawn
_NAMED = 3  # joints in the title
_LEAST = 0.05  # log-odds at the end of the joints' scale: less is no difference worth a colour


EXPLANATION = "-explanation.png"
"""What the name of a picture ends in."""


def save_explanation(
    folder: str | Path, name: str, image: NDArray[np.uint8], found: Explanation
) -> list[Path]:
    """Write ``NAME-explanation.png`` (photo, places, joints) and ``NAME-explanation.json``.

    Raises
    ------
    KeyactError : the folder cannot be written.
    """
    picture = Path(folder, f"{name}{EXPLANATION}")
    numbers = Path(folder, f"{name}-explanation.json")
    save_figure(picture, draw(image, found))
    write_json(numbers, found.to_json())
    return [picture, numbers]


def draw(image: NDArray[np.uint8], found: Explanation) -> Any:
    """A Matplotlib figure: the heat map over the photo, and the skeletons beside it.

    Parameters
    ----------
    image : (H, W, 3) uint8 BGR, the photo that was explained.
    """

    height, width = image.shape[:2]
    people = bool((found.keypoints[..., 2] >= _SHOWN).any())
    columns = 2 if people else 1
    side = 6.2 * width / max(height, width)
    figure, axes = blank(
        (side + 0.9) * columns, 6.2 * height / max(height, width) + 0.7, columns=columns
    )
    for ax in axes.flat:
        ax.set_axis_off()
    who = "the photo" if found.person is None else f"person {found.person}"
    title = f"{spoken(found.label)} {found.probability:.0%}, {who} ({found.model})"
    places = axes[0, 0]
    top = max(float(found.places.max()), 1e-6)
    places.imshow(over(image, found.places), interpolation="lanczos")
    titled(places, title)
    _scale(places, _MAP, (0, top), "fall of the log-odds when blurred")
    if people:
        joints = axes[0, 1]
        most = _limit(found)
        joints.imshow(skeletons(image, found), interpolation="lanczos")
        titled(joints, "Joints: " + _ranking(found))
        joints.title.set_fontsize(9)
        joints.title.set_color(INK)
        _scale(joints, _JOINTS, (-most, most), "fall of the log-odds when not seen")
    return figure


def over(image: NDArray[np.uint8], places: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The photo in grey where nothing counts, glowing where the action comes from: RGB."""
    import cv2
    from matplotlib import colormaps

    canvas = _enlarged(image)
    heat = cv2.resize(places, canvas.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    heat = np.clip(heat / max(float(places.max()), 1e-6), 0, 1)
    colour = colormaps[_MAP](heat)[..., :3]
    grey = np.repeat(cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY)[..., None], 3, 2) / 255
    # Cold places keep the photo visible, hot ones the colour; the photo's own detail stays in both.
    strength = 0.25 + 0.5 * heat[..., None]
    mixed = grey * (1 - strength) + colour * strength
    return np.asarray(np.clip(mixed * 255, 0, 255), np.uint8)


def skeletons(image: NDArray[np.uint8], found: Explanation) -> NDArray[np.uint8]:
    """The photo, muted, with a dot for each joint, larger the more it counts: red for the action,
    blue against it. RGB."""
    import cv2
    from matplotlib import colormaps

    canvas = _enlarged(image)
    zoom = canvas.shape[1] / image.shape[1]
    grey = cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY)
    picture = np.asarray(
        np.repeat(grey[..., None], 3, 2) * 0.45 + canvas[..., ::-1] * 0.2 + 35, np.uint8
    ).copy()
    most = _limit(found)
    for box, points, worth in zip(found.boxes, found.keypoints, found.joints, strict=True):
        xy = np.clip(points[:, :2] * zoom, -4096, 4096).round().astype(int)
        seen = points[:, 2] >= _SHOWN
        longer = float((box[2:] - box[:2]).max()) * zoom
        line = max(2, round(longer / 150))
        share = np.clip(worth / most, -1, 1)
        for a, b in get_layout("coco17").edges:
            if seen[a] and seen[b]:
                cv2.line(
                    picture, xy[a].tolist(), xy[b].tolist(), (245, 245, 245), line, cv2.LINE_AA
                )
        for joint in np.argsort(np.abs(share)):  # what counts most lies on top
            if not seen[joint]:
                continue
            radius = max(3, round(longer * (0.010 + 0.022 * abs(float(share[joint])))))
            tint = [
                round(255 * part) for part in colormaps[_JOINTS]((float(share[joint]) + 1) / 2)[:3]
            ]
            centre = xy[joint].tolist()
            cv2.circle(picture, centre, radius + max(1, line // 2), (20, 24, 31), -1, cv2.LINE_AA)
            cv2.circle(picture, centre, radius, tint, -1, cv2.LINE_AA)
    return picture


def _enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    zoom = LONGER / max(image.shape[:2])
    size = [max(1, round(side * zoom)) for side in image.shape[1::-1]]
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def _limit(found: Explanation) -> float:
    """Log-odds at both ends of the joints' scale."""
    return max(float(np.abs(found.joints).max(initial=0)), _LEAST)


def _ranking(found: Explanation) -> str:
    """The joints that count most, over all people."""
    names = get_layout("coco17").joints
    worth = found.joints.max(0)
    order = [int(j) for j in np.argsort(-worth) if worth[j] >= 0.005][:_NAMED]
    listed = ", ".join(f"{spoken(names[j])} {worth[j]:+.2f}" for j in order)
    return listed or "none counts"


def _scale(ax: Any, name: str, limits: tuple[float, float], label: str) -> None:
    """A colour bar as high as the picture beside it."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = ax.figure.colorbar(
        ScalarMappable(Normalize(*limits), name), cax=ax.inset_axes((1.015, 0, 0.025, 1))
    )
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
