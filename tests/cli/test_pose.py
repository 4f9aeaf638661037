from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyact.media import load_image
from keyact.outputs import VideoWriter
from keyact.results import FrameResult

TINY = ("--pose", "tiny-pose", "--detector", "tiny-detector")

Invoke = Callable[..., Any]


def test_key_points_without_an_action_model(
    invoke: Invoke, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an action model was loaded")

    monkeypatch.setattr("keyact.action.load", refuse)
    done = invoke(
        "pose", photo, *TINY, "--json", "r.jsonl", "--save", "o", "--save-alphapose", "a.json",
        "--threads", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    (line,) = (tmp_path / "r.jsonl").read_text("utf-8").splitlines()
    result = FrameResult.from_json(line)
    (person,) = result.people
    assert person.box == pytest.approx((40, 20, 90, 80), abs=3)
    assert person.keypoints.shape == (17, 3)
    assert (result.model, result.image_actions, result.image_action) == ("none", (), "unknown")
    assert (person.actions, person.action) == ((), "unknown")
    (entry,) = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert entry["image_id"] == "one.png"
    np.testing.assert_allclose(
        np.reshape(entry["keypoints"], (17, 3)), person.keypoints, atol=0.006
    )
    picture = load_image(tmp_path / "o" / "one.jpg")
    assert picture.shape == (96, 128, 3)
    row = next(line for line in done.stdout.splitlines() if "one.png" in line)
    assert "of 17" in row and "%" not in row
    assert "1 photo, 1 person, " in done.stderr


def test_two_outputs_are_not_one_file(invoke: Invoke, photo: Path, tmp_path: Path) -> None:
    done = invoke("pose", photo, *TINY, "--json", "o.json", "--save-alphapose", "o.json")
    assert done.exit_code == 2 and "--json and --save-alphapose are the same file" in done.stderr
    assert not (tmp_path / "o.json").exists()


def test_predict_and_pose_agree(invoke: Invoke, photo: Path) -> None:
    alone = FrameResult.from_json(invoke("pose", photo, *TINY, "--json", "-").stdout)
    done = invoke("predict", photo, *TINY, "--model", "tiny-action", "--json", "-")
    both = FrameResult.from_json(done.stdout)
    assert [p.box for p in alone.people] == [p.box for p in both.people]
    np.testing.assert_array_equal(alone.people[0].keypoints, both.people[0].keypoints)
    assert alone.people[0].posture == both.people[0].posture


def test_nobody_and_videos(invoke: Invoke, tmp_path: Path) -> None:
    pixels = np.full((96, 128, 3), 200, np.uint8)
    with VideoWriter(tmp_path / "clip.mp4", 10) as clip:
        for _ in range(4):
            clip.write(pixels)
    done = invoke("pose", "clip.mp4", *TINY, "--json", "r.jsonl", "--every", 2)
    assert done.exit_code == 0, done.stderr
    assert len((tmp_path / "r.jsonl").read_text("utf-8").splitlines()) == 2
    assert "clip.mp4 (2 frames)" in done.stdout


def test_given_boxes(invoke: Invoke, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "people.json").write_text('{"one.png": [[30, 10, 100, 90], [0, 0, 40, 40, 0.5]]}')
    done = invoke(
        "pose", photo, "--pose", "tiny-pose", "--detector", "boxes:people.json", "--json", "-"
    )
    assert done.exit_code == 0, done.stderr
    boxes = {person.box for person in FrameResult.from_json(done.stdout).people}
    assert boxes == {(30, 10, 100, 90), (0, 0, 40, 40)}


def test_a_photo_without_given_boxes_is_reported_and_the_rest_goes_on(
    invoke: Invoke, photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "one.png").write_bytes(photo.read_bytes())
    (folder / "people.json").write_text('{"one.png": [[30, 10, 100, 90]]}')
    other = tmp_path / "other.png"
    pixels = load_image(photo).copy()
    pixels[0, 0] = 0
    import cv2

    cv2.imwrite(str(other), pixels)
    done = invoke(
        "pose", other, photo, "--pose", "tiny-pose", "--detector", "boxes:inside/people.json",
        "--json", "-",
    )  # fmt: skip
    assert done.exit_code == 1
    (line,) = done.stdout.splitlines()
    assert FrameResult.from_json(line).source == str(photo)
    assert "other.png: inside/people.json: no photo of its folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 2, "PATH"),
        (("one.png", "--pose", "movnet:x.onnx"), 2, "did you mean 'movenet'"),
        (("one.png", "--pose", "movenet"), 1, "movenet:FILE"),
        (("one.png", "--pose", "movenet:none.onnx"), 1, "none.onnx: cannot be read"),
        (("one.png", "--detector", "yolox"), 1, "yolox:FILE.onnx"),
        (("one.png", "--threads", "0"), 2, "--threads"),
    ],
)
def test_what_is_wrong_is_one_line(
    invoke: Invoke, photo: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = invoke("pose", *arguments)
    assert done.exit_code == status
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
