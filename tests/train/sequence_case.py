"""People of different sizes who do four things with their right side, in any layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat
from sequence_files import UTD_ORDER, body, picture

from keyact.layouts import get_layout
from keyact.sequences import Sequence

ACTIONS = ("raise", "wave", "squat", "kick")


def acted(
    action: str, subject: int, trial: int, layout: str = "kinect20", hand: str = "right"
) -> np.ndarray:
    """(T, V, 3) metres: one recording."""
    rng = np.random.default_rng([ACTIONS.index(action), subject, trial])
    frames = int(rng.integers(24, 40))
    phase = np.linspace(0, 1, frames)
    up = np.sin(np.pi * phase) * rng.uniform(0.8, 1.2)
    points = np.repeat(body(layout)[None], frames, 0)
    at = {name: place for place, name in enumerate(get_layout(layout).places)}
    sign = -1 if hand == "right" else 1

    def move(joint: str, x: np.ndarray | float, y: np.ndarray | float) -> None:
        if f"{hand}_{joint}" in at:
            points[:, at[f"{hand}_{joint}"], 0] += sign * x
            points[:, at[f"{hand}_{joint}"], 1] += y

    if action in ("raise", "wave"):
        side = 0.25 * np.sin(6 * np.pi * phase) if action == "wave" else 0 * phase
        for joint, share in (("elbow", 0.5), ("wrist", 1.0), ("hand", 1.1)):
            move(joint, share * side, share * 0.8 * up)
    elif action == "kick":
        for joint, share in (("knee", 0.5), ("ankle", 1.0), ("foot", 1.1)):
            move(joint, share * 0.5 * up, share * 0.3 * up)
    else:
        high = points[0, :, 1] > -0.3
        points[:, high, 1] -= 0.4 * up[:, None]
    turn = rng.normal(0, 0.1)
    around = np.array(
        [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    )
    points = points @ around * (0.85 + 0.04 * subject)
    return points + rng.normal(0, 0.01, points.shape) + [0, 0, 2.5]


def recordings(
    layout: str = "kinect20",
    dims: int = 3,
    subjects: int = 4,
    trials: int = 2,
    hands: tuple[str, ...] = ("right",),
) -> list[Sequence]:
    """Of every subject and action; the last two subjects are the test part."""
    made = []
    for subject in range(subjects):
        for action in ACTIONS:
            for trial in range(trials):
                points = acted(action, subject, trial, layout, hands[trial % len(hands)])
                made.append(
                    Sequence.of(
                        points if dims == 3 else picture(points),
                        layout=layout,
                        label=action,
                        name=f"{action}-{subject}-{trial}",
                        group=f"s{subject}",
                        split="test" if subject >= subjects - 2 else "train",
                        fps=30.0,
                    )
                )
    return made


def write_utd_set(folder: Path, subjects: int = 4, trials: int = 2) -> None:
    """Files as UTD-MHAD has them; odd subjects are the training part."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, action in enumerate(ACTIONS, 1):
        for subject in range(1, subjects + 1):
            for trial in range(1, trials + 1):
                points = acted(action, subject, trial)[:, UTD_ORDER].transpose(1, 2, 0)
                savemat(folder / f"a{number}_s{subject}_t{trial}_skeleton.mat", {"d_skel": points})
