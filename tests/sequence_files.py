"""A small moving body in any layout, and files of it as other programs write them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from keyact.layouts import get_layout
from keyact.results import FrameResult, Person
from keyact.sequences import Sequence, save_sequences

# Metres, x to the person's left, y up, z towards the camera; the left side is mirrored.
_MIDDLE = {
    "head": (0, 0.62, 0), "nose": (0, 0.6, 0.1), "neck": (0, 0.45, 0), "mid_neck": (0, 0.5, 0),
    "spine_mid": (0, 0.22, 0), "lower_spine": (0, 0.08, 0), "mid_hip": (0, 0, 0),
}  # fmt: skip
_SIDE = {
    "eye": (0.03, 0.63, 0.08), "ear": (0.08, 0.62, 0), "shoulder": (0.18, 0.44, 0),
    "elbow": (0.24, 0.2, 0.05), "wrist": (0.26, 0, 0.1), "hand": (0.27, -0.07, 0.12),
    "middle_4": (0.28, -0.14, 0.13), "thumb_4": (0.24, -0.08, 0.16), "hip": (0.1, -0.02, 0),
    "knee": (0.11, -0.42, 0.03), "ankle": (0.12, -0.82, 0), "foot": (0.13, -0.87, 0.12),
}  # fmt: skip
PLACES = _MIDDLE | {
    f"{side}_{name}": (sign * x, y, z)
    for name, (x, y, z) in _SIDE.items()
    for side, sign in (("left", 1), ("right", -1))
}


def body(layout: str) -> np.ndarray:
    """(V, 3) standing, in metres."""
    return np.array([PLACES[place] for place in get_layout(layout).places], np.float64)


def moving(layout: str = "kinect20", frames: int = 12, seed: int = 0) -> np.ndarray:
    """(T, V, 3): each joint swings a little, with its neighbours' noise; walks along x."""
    rng = np.random.default_rng(seed)
    points = np.repeat(body(layout)[None], frames, 0)
    points += rng.normal(0, 0.01, points.shape)
    points[..., 0] += np.linspace(0, 0.5, frames)[:, None] + 0.3
    points[..., 1] += 0.2
    points[..., 2] += 2.5
    return points


def picture(points: np.ndarray, width: int = 320, height: int = 240) -> np.ndarray:
    """(..., 2) pixels of 3D points: y down, no perspective."""
    return np.stack([120 + 90 * points[..., 0], 110 - 90 * points[..., 1]], -1)


def sequence(layout: str = "coco17", frames: int = 12, seed: int = 0, **fields: Any) -> Sequence:
    dims = fields.pop("dims", 2)
    points = moving(layout, frames, seed)
    return Sequence.of(points if dims == 3 else picture(points), None, layout, **fields)


UTD_ORDER = [3, 2, 1, 0, *range(4, 20)]  # head, shoulder centre, spine, hip centre, ...


def write_utd(path: Path, frames: int = 12, seed: int = 0) -> np.ndarray:
    points = moving("kinect20", frames, seed)
    savemat(path, {"d_skel": points[:, UTD_ORDER].transpose(1, 2, 0)})
    return points


def write_penn(path: Path, action: str = "squat", train: int = 1, frames: int = 12) -> np.ndarray:
    points = picture(moving("penn13", frames))
    visible = np.ones(points.shape[:2], np.uint8)
    visible[:, 3] = 0  # guessed
    visible[2:4, 5] = 0
    x, y = points[..., 0].copy(), points[..., 1].copy()
    x[2:4, 5] = y[2:4, 5] = 1.0  # not placed
    savemat(
        path,
        {"action": action, "pose": "left", "x": x, "y": y, "visibility": visible,
         "train": np.array([[train]], np.int32), "bbox": np.zeros((frames, 4)),
         "dimensions": np.array([[240, 320, frames]], np.uint16), "nframes": frames},
    )  # fmt: skip
    return points


def annotations(layout: str = "coco17") -> dict[str, Any]:
    points = picture(moving(layout))
    listed = []
    for number in range(3):
        people = np.stack([points, points + 40])[: 1 + number % 2]
        listed.append({
            "frame_dir": f"clip{number}", "label": number, "img_shape": (240, 320),
            "original_shape": (240, 320), "total_frames": len(points),
            "keypoint": people.astype(np.float16),
            "keypoint_score": np.full(people.shape[:3], 0.75, np.float16),
        })  # fmt: skip
    split = {"xsub_train": ["clip0", "clip1"], "xsub_val": ["clip2"], "xview_train": ["clip2"]}
    return {"split": split, "annotations": listed}


def write_ntu(path: Path, frames: int = 5) -> np.ndarray:
    points = moving("kinect25", frames)
    lines = [str(frames)]
    for frame in points:
        lines += ["1", "72057594037931101 0 1 1 1 1 0 0.02 0.1 2", "25"]
        for joint, (x, y, z) in enumerate(frame):
            state = 1 if joint == 7 else 2
            lines.append(f"{x:.6f} {y:.6f} {z:.6f} 0 0 0 0 0 0 0 1 {state}")
    path.write_text("\n".join([*lines[:1], *lines[1:], ""]), "ascii")
    return points


def write_csv(path: Path, layout: str = "coco17") -> np.ndarray:
    points = picture(moving(layout))
    names = get_layout(layout).joints
    lines = ["name,frame,label,split,group," + ",".join(f"{n}_x,{n}_y,{n}_score" for n in names)]
    for clip in ("a", "b"):
        for number, frame in enumerate(points):
            cells = [f"{x:.4f},{y:.4f},0.5" for x, y in frame]
            if number == 3:
                cells[0] = ",,"
            lines.append(f"{clip},{number},wave,train,s1," + ",".join(cells))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return points


def people(points: np.ndarray, frames: range) -> list[list[Person]]:
    """Two tracked people per frame, the second 100 pixels to the right, from the fourth on."""
    result = []
    for number in frames:
        listed = []
        for track in (1, 2) if number >= 3 else (1,):
            joints = points[number] + (0 if track == 1 else (100, 0))
            keypoints = np.concatenate([joints, np.full((len(joints), 1), 0.9)], 1)
            (x1, y1), (x2, y2) = joints.min(0), joints.max(0)
            listed.append(
                Person(box=(x1, y1, x2, y2), box_score=0.9, score=2.9, layout="coco17",
                       keypoints=keypoints, track_id=track)
            )  # fmt: skip
        result.append(listed)
    return result


def write_results(path: Path) -> np.ndarray:
    points = picture(moving("coco17"))
    lines = []
    for number, listed in enumerate(people(points, range(len(points)))):
        lines.append(
            FrameResult(source="clip.mp4", index=2 * number, timestamp=number / 12.5, width=320,
                        height=240, image_only=False, people=tuple(listed), timings_ms={},
                        model="m").to_json()
        )  # fmt: skip
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return points


def write_alphapose(path: Path) -> np.ndarray:
    points = picture(moving("coco17"))
    entries = []
    for number, listed in enumerate(people(points, range(len(points)))):
        for person in listed:
            x1, y1, x2, y2 = person.box
            entries.append({
                "image_id": f"{number}.jpg", "category_id": 1, "idx": [person.track_id],
                "keypoints": person.keypoints.ravel().tolist(), "score": 2.9,
                "box": [x1, y1, x2 - x1, y2 - y1],
            })  # fmt: skip
    path.write_text(json.dumps(entries), "utf-8")
    return points


def write_pickle(path: Path, protocol: int = 4) -> np.ndarray:
    data = annotations()
    path.write_bytes(pickle.dumps(data, protocol))
    return np.asarray(data["annotations"][0]["keypoint"][0], np.float64)


def write_npz(path: Path) -> np.ndarray:
    one = sequence(
        "kinect20", dims=3, label="wave", fps=30.0, name="one", split="train", group="s1"
    )
    save_sequences(path, [one, sequence("kinect20", 7, 1, dims=3, label="sit", name="two")])
    return one.keypoints[0].astype(np.float64)
