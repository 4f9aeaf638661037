"""What every photo model holds to, whatever it is made of. Random weights, small pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs the extra: pip install 'keyact[train]'")
pytest.importorskip("tensorflow", reason="training needs the extra: pip install 'keyact[train]'")

from keyact import action, models
from keyact.errors import InputError, UnknownNameError
from keyact.train import export, layers, trees

LABELS = ("dance", "row", "run")
SIZE = 64
PICTURES = {"context", "crop"}

SMALL: dict[str, dict[str, Any]] = {
    "keypoint-fusion": {"size": SIZE, "alpha": 0.35},
    "mobilenetv2": {"size": SIZE, "alpha": 0.35},
    "keypoints-mlp": {},
    "keypoints-gcn": {},
    "mobilenetv3-small": {"size": SIZE, "view": "both"},
    "mobilenetv3-large": {"size": SIZE},
    "efficientnetv2-b0": {"size": SIZE, "view": "person"},
    "resnet50": {"size": SIZE},
    "convnext-tiny": {"size": SIZE},
    "vit": {"size": SIZE, "depth": 2, "heads": 2, "width": 32},
}
LARGE = ("mobilenetv3-large", "efficientnetv2-b0", "resnet50", "convnext-tiny")
ALL = [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in SMALL]


def build(name: str, seed: int = 0) -> Any:
    import keras

    if name == "vit":
        pytest.importorskip("keras_hub", reason="needs the extra: pip install 'keyact[vit]'")
    keras.utils.set_random_seed(seed)
    return models.build(name, len(LABELS), weights=None, **SMALL[name])


@pytest.fixture(scope="module")
def network(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """Built once for all the tests of a name."""
    return request.param, build(request.param)


def rows(net: Any, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (count, 17, 3)) * [SIZE, SIZE, 1]
    return {
        value.name: rng.integers(0, 256, (count, *value.shape[1:]), np.uint8)
        if value.name in PICTURES
        else points.astype(np.float32)
        for value in net.inputs
    }


@pytest.mark.parametrize("network", ALL, indirect=True)
class TestContract:
    def test_inputs_parts_and_logits(self, network: tuple[str, Any]) -> None:
        _, net = network
        assert {value.name for value in net.inputs} <= PICTURES | {"keypoints"}
        tags = models.get_model(network[0]).tags
        assert ("keypoints" in tags) == any(value.name == "keypoints" for value in net.inputs)
        assert ("image" in tags) == any(value.name in PICTURES for value in net.inputs)
        for count in (1, 3):
            logits = np.asarray(net(rows(net, count), training=False))
            assert (logits.shape, logits.dtype) == ((count, len(LABELS)), np.float32)
            assert np.isfinite(logits).all()

    def test_the_parts_together_are_the_whole(self, network: tuple[str, Any]) -> None:
        _, net = network
        inputs = rows(net, 2)
        seen = net.get_layer("features")(inputs, training=False)
        np.testing.assert_allclose(
            np.asarray(net.get_layer("head")(seen, training=False)),
            np.asarray(net(inputs, training=False)),
            atol=1e-5,
        )

    def test_each_person_is_judged_alone(self, network: tuple[str, Any]) -> None:
        _, net = network
        three = rows(net, 3)
        together = np.asarray(net(three, training=False))
        alone = np.asarray(net({k: v[1:2] for k, v in three.items()}, training=False))
        np.testing.assert_allclose(together[1:2], alone, atol=1e-3)

    def test_seed_weights_file_and_a_step(self, network: tuple[str, Any], tmp_path: Path) -> None:
        """The same seed gives the same network; a step moves the head and with it what a frozen
        part lets through; a file of weights brings all of it back."""
        import keras

        name, net = network
        net.save_weights(tmp_path / "net.weights.h5")
        other = build(name)
        for one, two in zip(net.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
        layers.set_frozen(other, "features")
        before = [np.array(w) for w in other.get_layer("features").get_weights()]
        other.compile(
            keras.optimizers.SGD(0.1),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            run_eagerly=True,
        )
        goal = np.eye(len(LABELS), dtype=np.float32)[[0, 2]]
        loss = float(np.asarray(other.train_on_batch(rows(other, 2), goal)))
        assert np.isfinite(loss)
        for one, two in zip(before, other.get_layer("features").get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
        inputs = rows(net, 2)
        expected = np.asarray(net(inputs, training=False))
        assert np.abs(np.asarray(other(inputs, training=False)) - expected).max() > 0
        other.load_weights(tmp_path / "net.weights.h5")
        np.testing.assert_array_equal(np.asarray(other(inputs, training=False)), expected)

    def test_gradients_reach_every_layer(self, network: tuple[str, Any]) -> None:
        import tensorflow as tf

        _, net = network
        layers.set_frozen(net, None)
        with tf.GradientTape() as tape:
            cost = tf.reduce_sum(net(rows(net, 2), training=False) ** 2)
        variables = [v for v in net.trainable_variables if "gate" not in v.path]
        grads = tape.gradient(cost, [v.value for v in variables])
        dead = [v.path for v, g in zip(variables, grads, strict=True) if g is None]
        assert not dead

    def test_the_onnx_file_is_an_action_model_that_answers_alike(
        self, network: tuple[str, Any], tmp_path: Path
    ) -> None:
        name, net = network
        meta = export.metadata(name, name, LABELS, SIZE, 1.3)
        data = export.to_onnx(net, meta)
        (tmp_path / "model.onnx").write_bytes(data)
        check_action(tmp_path / "model.onnx", name)
        # What the file answers about a photo is what the network answers about its crops.
        model = action.load(tmp_path / "model.onnx", threads=1)
        image, boxes, points = photo()
        context, crops, moved = seen(image, boxes, points)
        inputs = {"context": np.repeat(context, len(crops), 0), "crop": crops, "keypoints": moved}
        expected = np.asarray(
            net({value.name: inputs[value.name] for value in net.inputs}, training=False)
        )
        logits = model.logits(image, boxes, points)  # type: ignore[attr-defined]
        np.testing.assert_allclose(logits, expected, atol=0.03 * (1 + np.abs(expected).max()))


def photo() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (90, 120, 3), np.uint8)
    boxes = np.array([[5, 5, 60, 80], [40, 10, 110, 85], [30.0, 20, 60, 60]])
    points = rng.uniform(0, 1, (3, 17, 3)) * [50, 60, 1] + [20, 15, 0]
    return image, boxes, points


def seen(image: np.ndarray, boxes: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, ...]:
    from keyact.action.keypoint_fusion import person_crops, whole_photo

    return (whole_photo(image, SIZE)[None], *person_crops(image, boxes, points, SIZE, 1.3))


def check_action(path: Path, name: str) -> None:
    """Loads by its path, and names nobody, one and several people."""
    model = action.load(path, threads=1)
    assert model.labels == LABELS
    image, boxes, points = photo()
    for count in (0, 1, 3):
        people, whole = model(image, boxes[:count], points[:count])
        assert people.shape == (count, len(LABELS)), name
        assert whole.shape == (len(LABELS),)
        np.testing.assert_allclose([*people.sum(1), whole.sum()], 1, atol=1e-5)


def test_trees_are_an_action_model_too(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    rng = np.random.default_rng(0)
    poses = (rng.uniform(0, 1, (60, 17, 3)) * [SIZE, SIZE, 1]).astype(np.float32)
    goal = np.arange(60) % len(LABELS)
    poses[np.arange(60), 9 + goal, 1] = 0  # a limb up for each action
    grown = [
        models.build("keypoints-trees", len(LABELS), trees=20).fit(trees.pose_vectors(poses), goal)
        for _ in range(2)
    ]
    vectors = trees.pose_vectors(poses)
    expected = grown[0].predict_proba(vectors)
    np.testing.assert_array_equal(expected, grown[1].predict_proba(vectors))
    assert (expected.argmax(1) == goal).all()
    meta = export.metadata("keypoints-trees", "keypoints-trees", LABELS, SIZE, 1.3)
    (tmp_path / "model.onnx").write_bytes(trees.to_onnx(grown[0], meta))
    check_action(tmp_path / "model.onnx", "keypoints-trees")
    image, boxes, points = photo()
    logits = action.load(tmp_path / "model.onnx").logits(image, boxes, points)  # type: ignore[attr-defined]
    moved = seen(image, boxes, points)[2]
    np.testing.assert_allclose(
        np.exp(logits), grown[0].predict_proba(trees.pose_vectors(moved)) + trees.FLOOR, atol=1e-4
    )


def test_unusable_weights_and_views_are_said(tmp_path: Path) -> None:
    (tmp_path / "bad.weights.h5").write_bytes(b"no")
    for name in ("mobilenetv2", "keypoint-fusion"):
        with pytest.raises(InputError, match=r"--set weights=none"):
            models.build(name, 2, weights=str(tmp_path / "bad.weights.h5"), size=32, alpha=0.35)
    with pytest.raises(UnknownNameError, match="did you mean 'person'"):
        models.build("mobilenetv2", 2, weights=None, size=32, alpha=0.35, view="persons")
