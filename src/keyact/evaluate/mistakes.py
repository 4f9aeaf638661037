"""Photos as one picture: what a model was surest of and wrong about, and what it has right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keyact.errors import InputError
from keyact.evaluate.output import save_figure
from keyact.evaluate.plots import BLUE, GREY, INK, ORANGE, blank, spoken
from keyact.evaluate.predictions import Predictions
from keyact.media.image import load_image

SHOWN = 24
_COLUMNS = 6
_SIDE = 320  # pixels of a photo on the sheet


def worst_mistakes(predictions: Predictions, count: int = SHOWN) -> list[int]:
    """Rows that are wrong, the most confident first."""
    wrong = np.flatnonzero(~predictions.right)
    order = np.argsort(-predictions.confidence[wrong], kind="stable")
    return [int(row) for row in wrong[order][:count]]


def right_examples(predictions: Predictions, count: int = SHOWN) -> list[int]:
    """Rows that are right: the most confident of each action, then the next of each."""
    right = np.flatnonzero(predictions.right)
    order = right[np.argsort(-predictions.confidence[right], kind="stable")]
    turns: dict[int, int] = {}
    place = {}
    for row in order.tolist():
        action = int(predictions.targets[row])
        place[row] = turns[action] = turns.get(action, -1) + 1
    return sorted(place, key=lambda row: (place[row], predictions.targets[row]))[:count]


def save_mistakes(path: str | Path, predictions: Predictions, count: int = SHOWN) -> None:
    """Draw the worst mistakes: each photo with its true action, the predicted one and the
    probabilities of both. A photo that cannot be read leaves an empty frame.

    Raises
    ------
    KeyactError : the picture cannot be written.
    """
    rows = worst_mistakes(predictions, count)
    wrong = int((~predictions.right).sum())
    title = (
        f"{predictions.model}: {len(rows)} of {wrong} mistakes among {len(predictions)}, "
        "the most confident first"
    )
    _save_sheet(Path(path), predictions, rows, title)


def save_hits(path: str | Path, predictions: Predictions, count: int = SHOWN) -> None:
    """Draw photos that are right in the same way, of all actions alike.

    Raises
    ------
    KeyactError : the picture cannot be written.
    """
    rows = right_examples(predictions, count)
    right = int(predictions.right.sum())
    title = (
        f"{predictions.model}: {len(rows)} of {right} right among {len(predictions)}, "
        "the most confident of each action"
    )
    _save_sheet(Path(path), predictions, rows, title)


def _save_sheet(path: Path, predictions: Predictions, rows: list[int], title: str) -> None:
    import cv2

    lines = max(1, -(-len(rows) // _COLUMNS))
    figure, axes = blank(2.1 * _COLUMNS, 2.35 * lines + 0.4, columns=_COLUMNS, rows=lines)
    for ax in axes.flat:
        ax.axis("off")
        ax.set_anchor("N")
    for row, ax in zip(rows, axes.flat, strict=False):
        target, predicted = int(predictions.targets[row]), int(predictions.predicted[row])
        probability = predictions.probabilities[row]
        try:
            image = load_image(predictions.paths[row])[..., ::-1]
            zoom = _SIDE / max(image.shape[:2])
            size = [max(1, round(side * zoom)) for side in image.shape[1::-1]]
            ax.imshow(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        except InputError:
            ax.text(0.5, 0.5, "cannot be read", ha="center", transform=ax.transAxes)
        ax.set_title(
            f"{spoken(predictions.labels[predicted])} {probability[predicted]:.0%}",
            fontsize=9,
            color=BLUE if target == predicted else ORANGE,
            pad=13,
            fontweight="bold",
        )
        ax.text(
            0.5,
            1.02,
            f"labelled {spoken(predictions.labels[target])} ({probability[target]:.0%})",
            fontsize=7.5,
            ha="center",
            va="bottom",
            color=INK,
            transform=ax.transAxes,
        )
        ax.text(
            0.5,
            -0.02,
            "/".join(Path(predictions.paths[row]).parts[-2:])[-34:],
            fontsize=5.5,
            ha="center",
            va="top",
            color=GREY,
            transform=ax.transAxes,
        )
    figure.suptitle(title, fontsize=11, x=0.01, ha="left", color=INK)
    save_figure(path, figure)
