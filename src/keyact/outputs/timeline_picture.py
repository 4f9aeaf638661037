"""A video's timeline as a picture: a lane per person, a colour per action."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyact.timeline.result import PersonTimeline, VideoTimeline

MAX_LANES = 24
"""People drawn: those with the most seconds of action."""

MIN_SECONDS = 0.5
"""People who are seen for less and do nothing are not drawn: mostly they are none."""

# Far apart in hue and lightness, also for colour-blind eyes (Okabe and Ito, then darker ones).
_COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7a5195", "#8c6d1f",
    "#4d4d4d", "#b2182b",
)  # fmt: skip
_INK = "#14181f"
_SEEN = "#dfe3e8"
_DPI = 150


def draw_timeline(timeline: VideoTimeline, title: str | None = None) -> NDArray[np.uint8]:
    """The picture.

    Grey is when a person is in the video, colours are actions with label and confidence.

    Parameters
    ----------
    timeline : people without any action get a lane as well, unless they were only there for a
        moment.
    title : over it; by default the video's name and length.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        BGR.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [p for p in timeline.people if p.segments or p.end - p.start >= MIN_SECONDS]
    lanes = sorted(shown, key=lambda person: (-_busy(person), person.track_id))
    left_out = len(lanes) - MAX_LANES
    lanes = sorted(lanes[:MAX_LANES], key=lambda person: person.track_id)
    labels = list(dict.fromkeys(s.label for person in lanes for s in person.segments))
    colours = {label: _COLOURS[i % len(_COLOURS)] for i, label in enumerate(labels)}
    end = max(timeline.seconds, *(person.end for person in lanes), 0.1) if lanes else 1.0

    figure = Figure(figsize=(10, 1.5 + 0.42 * max(len(lanes), 1)), dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    for row, person in enumerate(lanes):
        axes.broken_barh(
            [(person.start, person.end - person.start)], (row - 0.36, 0.72), color=_SEEN
        )
        for segment in person.segments:
            width = segment.end - segment.start
            axes.broken_barh(
                [(segment.start, width)], (row - 0.36, 0.72), facecolors=colours[segment.label],
                edgecolors="white", linewidth=0.8,
            )  # fmt: skip
            text = f"{segment.label.replace('_', ' ')} {segment.confidence:.0%}"
            # About 0.0105 of the width for each letter of this size; a text that does not fit
            # would run into the next segment.
            if width / end > 0.0105 * len(text):
                axes.text(
                    segment.start + width / 2, row, text, ha="center", va="center", color="white",
                    fontsize=8, parse_math=False, clip_on=True,
                )  # fmt: skip
    axes.set_yticks(range(len(lanes)), [f"#{person.track_id}" for person in lanes])
    axes.set_ylim(max(len(lanes), 1) - 0.4, -0.6)
    axes.set_xlim(0, end)
    axes.set_xlabel("seconds")
    axes.tick_params(colors=_INK, labelsize=8, length=2)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color=_SEEN, linewidth=0.6)
    axes.set_axisbelow(True)
    name = title if title is not None else f"{timeline.source} · {timeline.seconds:.1f} s"
    if left_out > 0:
        name += f" · {left_out} more people"
    axes.set_title(name, fontsize=9, color=_INK, loc="left", parse_math=False)
    if not lanes:
        axes.text(0.5, 0, "nobody was followed", ha="center", va="center", color=_INK, fontsize=9)
    if labels:
        from matplotlib.patches import Patch

        figure.legend(
            [Patch(color=colours[label]) for label in labels],
            [label.replace("_", " ").replace("$", r"\$") for label in labels],
            loc="outside lower center", ncols=min(len(labels), 6), fontsize=8, frameon=False,
        )  # fmt: skip
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(pixels[..., ::-1])


def _busy(person: PersonTimeline) -> float:
    return sum(segment.end - segment.start for segment in person.segments)
