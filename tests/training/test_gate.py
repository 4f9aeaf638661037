"""The gate of keypoint-fusion's file: its formula, its parts, and what it learns."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

pytest.importorskip("keras")
pytest.importorskip("sklearn")

from keyact import weights
from keyact.runtime import OnnxModel
from training.keypoint_fusion import gate, scene, strangers

SIZE = 256


@pytest.fixture(scope="module")
def shipped() -> onnx.ModelProto:
    """The bundled network without its gate."""
    (entry,) = [one for one in weights.entries("action") if one.name == "keypoint-fusion"]
    return gate.ungated(onnx.load(str(entry.path)))


@pytest.fixture(scope="module")
def feeds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "context": rng.integers(0, 256, (1, SIZE, SIZE, 3), np.uint8),
        "crop": rng.integers(0, 256, (3, SIZE, SIZE, 3), np.uint8),
        "keypoints": rng.uniform(0, SIZE, (3, 17, 3)).astype(np.float32),
        "squares": rng.integers(0, 256, (2, scene.SIZE, scene.SIZE, 3), np.uint8),
    }


def answer(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return OnnxModel(gate.with_meta(proto, {"kind": "action"}), threads=1).run(feeds)["logits"]


def test_the_file_says_what_the_formula_says(
    shipped: onnx.ModelProto, feeds: dict[str, np.ndarray]
) -> None:
    plain = answer(shipped, feeds)
    features = answer(gate.with_features(shipped), feeds)
    assert features.shape == (3, scene.WIDTH + gate.person_width(shipped))
    weight = np.random.default_rng(1).normal(0, 0.05, features.shape[1]).astype(np.float32)
    weight /= np.ptp(features @ weight)
    bias = -float(np.median(features @ weight))
    known = 1 / (1 + np.exp(-(features @ weight + bias)))[:, None]
    assert np.ptp(known) > 0.1
    said = np.exp(plain / 1.3)
    said /= said.sum(1, keepdims=True)
    expected = np.log(known * said + (1 - known) / plain.shape[1])
    gated = gate.with_gate(shipped, weight, bias, 1.3)
    np.testing.assert_allclose(answer(gated, feeds), expected, atol=0.02)
    assert (answer(gated, feeds).argmax(1) == plain.argmax(1)).all()
    sure = answer(gate.with_gate(shipped, weight, 1e4, 0.01), feeds)
    assert np.isfinite(sure).all() and sure.min() > -21  # the logarithm of 0 is none
    assert gate.ungated(gated).SerializeToString() == shipped.SerializeToString()


def test_a_file_without_a_scene_is_refused(shipped: onnx.ModelProto) -> None:
    proto = onnx.load_model_from_string(shipped.SerializeToString())
    for node in proto.graph.node:
        node.name = node.name.replace("scene_logits", "other")
    with pytest.raises(ValueError, match="no keypoint-fusion with a scene"):
        gate.with_features(proto)


def test_two_kinds_of_photo_are_told_apart_whatever_their_number() -> None:
    rng = np.random.default_rng(0)

    def photos(count: int, centre: float) -> list[np.ndarray]:
        return [rng.normal(centre, 1, (1 + i % 3, 6)).astype(np.float32) for i in range(count)]

    few = photos(20, -2), photos(20, -2)
    weight, bias = gate.fit(photos(200, 1), few[0], photos(50, 1), few[1])
    odds = [np.concatenate(some) @ weight + bias for some in (photos(99, 1), photos(99, -2))]
    assert (odds[0] > 0).mean() > 0.95 and (odds[1] < 0).mean() > 0.95


@pytest.mark.parametrize(
    ("exercise", "left_out"),
    [
        ("Clean_and_Jerk", True), ("Barbell_Full_Squat", True), ("Romanian_Deadlift", True),
        ("Muscle_Up", True), ("Ring_Dips", True), ("Plank", False), ("Cat_Stretch", False),
        ("Barbell_Curl", False), ("Hamstring_Stretch", False), ("Walking_Treadmill", False),
    ],
)  # fmt: skip
def test_exercises_that_are_sports_are_not_strangers(exercise: str, left_out: bool) -> None:
    assert (strangers.part_of({"exercise": exercise}) is None) is left_out


def test_near_duplicates_of_learnt_photos_are_in_no_part() -> None:
    names = [f"Exercise_{letter}" for letter in "ABCDEFGHIJKLMNOP"]
    manifest = {
        f"{name}/{phase}.jpg": {"exercise": name, "group": f"{name}{phase}"}
        for name in names
        for phase in (0, 1)
    }
    before = strangers.parts(manifest)
    assert {before[f"{name}/0.jpg"] == before[f"{name}/1.jpg"] for name in names} == {True}
    train = next(path for path, part in before.items() if part == "train")
    val = next(path for path, part in before.items() if part == "val")
    manifest[val]["group"] = manifest[train]["group"]
    assert strangers.parts(manifest) == before | {val: None}
