"""Annotated pictures through supervision: box, skeleton, action and posture per person."""

from __future__ import annotations

import math
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import KeyactError
from keyact.layouts import get_layout
from keyact.results import UNKNOWN, Action, FrameResult, Person

if TYPE_CHECKING:
    import supervision as sv

# Bright, far apart in hue, and legible over grass, water and skin alike.
_PALETTE = (
    "#ffb000",
    "#26c6da",
    "#ff5c8a",
    "#7ddc4f",
    "#a78bfa",
    "#ff7f3f",
    "#4f9dff",
    "#f2e34c",
)
_INK = "#14181f"
_PAPER = "#ffffff"

_MIN_JOINT_SCORE = 0.2  # below it a joint is a guess that would only clutter the picture
_MIN_FONT = 11  # px; smaller text cannot be read
_FONT = Path("mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
_FONT_SCALE = 0.87  # at which its letters are as wide as those of Pillow's font, which has few
_SMOOTH_UNDER = 1600  # px, longer side; smaller photos are drawn at twice the size


def annotate(
    image: NDArray[np.uint8], result: FrameResult, *, font: str | Path | None = None
) -> NDArray[np.uint8]:
    """Draw a result on its photo.

    Every person gets a colour, a box, the skeleton of their layout and a label such as
    ``golf 87% · standing``. Line widths follow the person's size and text follows the photo's, so
    that thumbnails and 4000-pixel photos both read well. A photo without people gets one label
    for the whole photo.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
        The upright BGR photo that the result is about. It is not changed.
    result : FrameResult
        What was found in it.
    font : str or Path, optional
        A .ttf, .otf or .ttc file for the labels. The default, DejaVu Sans, has Latin, Greek,
        Cyrillic and some other letters, but none of Chinese, Japanese and Korean.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        A new BGR picture.

    Raises
    ------
    ValueError
        If the photo's size is not the result's.
    KeyactError
        If ``font`` is no font that can be read.
    """
    import cv2

    height, width = image.shape[:2]
    if (width, height) != (result.width, result.height):
        raise ValueError(
            f"the photo is {width} x {height} pixels but the result is about one of "
            f"{result.width} x {result.height}"
        )
    # supervision draws without smoothing. At twice the size and averaged back, its lines are
    # smooth, while pixels that nothing covers keep their exact value.
    zoom = 2 if max(width, height) < _SMOOTH_UNDER else 1
    canvas = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
    order = sorted(range(len(result.people)), key=lambda i: -_area(result.people[i]))
    for number in order:  # large people first, so that small ones stay on top
        canvas = _draw_person(canvas, result.people[number], _colour(result, number), zoom)
    picture = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return _draw_labels(np.ascontiguousarray(picture, dtype=np.uint8), result, font)


def label_text(person: Person) -> str:
    """The person's label: ``#3 golf 87% · standing``, parts that are not known left out."""
    settled = person.settled not in (None, UNKNOWN)
    known = settled or person.actions or person.action != UNKNOWN  # not of key points alone
    parts = [_action_text(*_shown(person))] if known else []
    if person.posture and person.posture != UNKNOWN:
        parts.append(person.posture)
    track = "" if person.track_id is None else f"#{person.track_id} "
    return track + " · ".join(parts)


def _shown(person: Person) -> tuple[str, tuple[Action, ...]]:
    """The settled action in place of the frame's own, which may flicker."""
    if person.settled is None:
        return person.action, person.actions
    # Its probability of this moment says something only while it is the best one.
    best = person.actions[:1]
    return person.settled, best if best and best[0].label == person.settled else ()


def _action_text(action: str, actions: tuple[Action, ...]) -> str:
    name = action.replace("_", " ")
    return f"{name} {actions[0].probability:.0%}" if actions and action != UNKNOWN else name


def _draw_person(scene: NDArray[Any], person: Person, colour: sv.Color, zoom: int) -> NDArray[Any]:
    import supervision as sv

    height, width = scene.shape[:2]
    x1, y1, x2, y2 = person.box
    # A thumbnail's line is one pixel; a person who fills a 4000 px photo gets about twenty.
    photo = math.hypot(width, height) / zoom
    stroke = min(0.007 * math.hypot(x2 - x1, y2 - y1), 0.005 * photo)
    stroke = max(1.0, 0.0008 * photo, stroke)
    line = max(1, round(stroke * zoom))
    rim = max(1, round(0.45 * stroke * zoom))

    detections = sv.Detections(
        xyxy=np.array([person.box], dtype=np.float32) * zoom, class_id=np.array([0])
    )
    for tint, thickness in ((sv.Color.from_hex(_INK), line + rim), (colour, line)):
        box = sv.BoxCornerAnnotator(
            color=tint,
            thickness=thickness,
            corner_length=max(2, round(0.12 * zoom * min(x2 - x1, y2 - y1))),
        )
        scene = box.annotate(scene, detections)

    layout = get_layout(person.layout)
    points = person.keypoints.astype(np.float64)
    # Far outside the photo nothing shows, and OpenCV's integers would overflow.
    xy = np.clip(points[None, :, :2] * zoom, -4 * max(width, height), 4 * max(width, height))
    skeleton = sv.KeyPoints(
        xy=xy.astype(np.float32),
        visible=points[None, :, 2] >= _MIN_JOINT_SCORE,
        class_id=np.array([0]),
    )
    edges = [(a + 1, b + 1) for a, b in layout.edges]  # supervision counts joints from 1
    for tint, thickness in ((sv.Color.from_hex(_INK), line + 2 * rim), (colour, line)):
        scene = sv.EdgeAnnotator(color=tint, thickness=thickness, edges=edges).annotate(
            scene, skeleton
        )
    dense = 0.6 if len(layout) > 40 else 1.0  # faces and hands would become blots
    for fill, radius in ((_INK, 1.15 * line + rim), (_PAPER, 1.15 * line)):
        scene = sv.VertexAnnotator(
            color=sv.Color.from_hex(fill), radius=max(1, round(dense * radius))
        ).annotate(scene, skeleton)
    return scene


def _draw_labels(
    scene: NDArray[np.uint8], result: FrameResult, own_font: str | Path | None
) -> NDArray[np.uint8]:
    import supervision as sv

    numbers = [number for number, person in enumerate(result.people) if label_text(person)]
    if numbers:
        boxes = [result.people[number].box for number in numbers]
        labels = [label_text(result.people[number]) for number in numbers]
        position = sv.Position.TOP_LEFT
    elif result.image_actions and not result.people:
        numbers = [0]
        boxes = [(0.0, 0.0, float(result.width), float(result.height))]
        labels = [f"whole photo: {_action_text(result.image_action, result.image_actions)}"]
        position = sv.Position.BOTTOM_LEFT
    else:
        return scene
    font = max(_MIN_FONT, round(0.027 * math.sqrt(result.width * result.height)))
    padding = max(2, round(0.35 * font))
    path = _default_font() if own_font is None else _checked_font(own_font)
    annotator = sv.RichLabelAnnotator(
        color=sv.ColorPalette([_colour(result, number) for number in numbers]),
        text_color=sv.Color.from_hex(_INK),
        font_path=path,
        font_size=font if path is None else round(_FONT_SCALE * font),
        text_padding=padding,
        border_radius=padding,
        text_position=position,
        smart_position=True,  # inside the photo, and not on top of each other
        max_line_length=max(8, int((result.width - 2 * padding) / (0.55 * font))),
    )
    picture: NDArray[np.uint8] = annotator.annotate(
        scene,
        sv.Detections(xyxy=np.array(boxes, dtype=np.float32), class_id=np.arange(len(boxes))),
        labels=labels,
        custom_color_lookup=np.arange(len(boxes)),
    )
    return picture


@lru_cache(maxsize=1)
def _default_font() -> str | None:
    """The font that comes with matplotlib, found without importing it; None where it is not."""
    package = find_spec("matplotlib")
    path = package and package.origin and Path(package.origin).parent / _FONT
    return str(path) if path and path.is_file() else None


@lru_cache(maxsize=8)
def _checked_font(path: str | Path) -> str:
    from PIL import ImageFont

    try:
        ImageFont.truetype(str(path))
    except (OSError, ValueError):
        raise KeyactError(
            f"{path}: is no font that can be read; give a .ttf, .otf or .ttc file"
        ) from None
    return str(path)


def _colour(result: FrameResult, number: int) -> sv.Color:
    """By the track, which has its colour in every frame of a video, or by the place in the list."""
    import supervision as sv

    track = result.people[number].track_id if result.people else None
    if track is not None:
        number = track - 1
    return sv.Color.from_hex(_PALETTE[number % len(_PALETTE)])


def _area(person: Person) -> float:
    x1, y1, x2, y2 = person.box
    return (x2 - x1) * (y2 - y1)
