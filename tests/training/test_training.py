"""A tiny end-to-end training of each shipped network, on photos that the test draws itself."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="training needs the extra: pip install 'keyact[train]'")
pytestmark = pytest.mark.slow

# A person of 17 joints in a box of 1 x 2, standing.
STANDING = np.array(
    [(.5, .1), (.55, .07), (.45, .07), (.6, .1), (.4, .1), (.7, .4), (.3, .4), (.8, .7), (.2, .7),
     (.85, 1), (.15, 1), (.65, 1), (.35, 1), (.65, 1.45), (.35, 1.45), (.65, 1.9), (.35, 1.9)]
)  # fmt: skip
COLOURS = {"blue": (220, 60, 30), "red": (30, 60, 220)}


def draw(rng: np.random.Generator, colour: tuple[int, int, int]):
    """A photo 160 x 120 of a stick figure: image, box (4,), key points (17, 3)."""
    image = np.full((120, 160, 3), 200, np.uint8)
    image[:] = np.clip(np.array(colour) * 0.5 + rng.normal(100, 10, image.shape), 0, 255)
    height = rng.uniform(70, 100)
    left, top = rng.uniform(5, 100), rng.uniform(2, 115 - height)
    points = STANDING * height / 2 + [left, top]
    for a, b in [(5, 6), (5, 9), (6, 10), (11, 12), (5, 11), (6, 12), (11, 15), (12, 16), (0, 5)]:
        ends = [tuple(int(v) for v in points[i]) for i in (a, b)]
        cv2.line(image, *ends, colour, 4)
    cv2.circle(image, tuple(int(v) for v in points[0]), 7, (180, 200, 230), -1)
    box = np.array([left, top, left + height / 2, top + height])
    return image, box, np.concatenate([points, np.full((17, 1), 0.9)], 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that the scripts expect: data, manifests and the teacher's labels."""
    root = tmp_path_factory.mktemp("world")
    (root / "labels").mkdir()
    (root / "weights").mkdir()
    (root / "weights" / "registry.json").write_text('{"weights": []}')
    rng = np.random.default_rng(0)
    for dataset, count in (("sports18", 24), ("yoga8", 6), ("exercises", 4)):
        folder = root / "data" / dataset
        (folder / "images").mkdir(parents=True)
        rows, boxes, keypoints = [], [], []
        for i in range(count):
            label = ("blue", "red")[i % 2]
            image, box, points = draw(rng, COLOURS[label])
            cv2.imwrite(str(folder / "images" / f"{i}.png"), image)
            split = "train" if dataset == "exercises" else ("val", "train", "train", "test")[i % 4]
            rows.append(
                {"path": f"images/{i}.png", "label": label, "split": split, "group": i // 2}
            )
            boxes.append(box)
            keypoints.append(points)
        with (folder / "manifest.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        np.savez(
            root / "labels" / f"{dataset}.npz",
            paths=np.array([row["path"] for row in rows]),
            split=np.array([row["split"] for row in rows]),
            photo=np.arange(count),
            boxes=np.array(boxes, np.float32),
            scores=np.full(count, 0.9, np.float32),
            keypoints=np.array(keypoints, np.float32),
            spread=np.full((count, 17), 0.01, np.float32),
        )
    return root


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts that are not told where to look find nothing of an earlier training in ``work``."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def single_precision():
    """Training computes in bfloat16 where it can, and says so to all of Keras."""
    import keras

    yield
    keras.mixed_precision.set_global_policy("float32")


def run(monkeypatch: pytest.MonkeyPatch, main, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
    main()


def photo_of(world: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.load(world / "labels" / "sports18.npz")
    image = cv2.imread(str(world / "data" / "sports18" / table["paths"][0]))
    return image, table["boxes"][:1], table["keypoints"][:1]


def test_fastpose_m(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyact import pose
    from training.fastpose_m import choose, export, model, train

    where = ["--shared", world, "--labels", world / "labels", "--run", world / "fastpose"]
    cheap = ["--init", "random", "--batch", 4]
    run(monkeypatch, train.main, *where, *cheap, "--phases", "64x32:2:1e-3", "96x64:2:1e-3")
    assert json.loads((world / "fastpose" / "state.json").read_text())["step"] == 4
    run(monkeypatch, train.main, *where, *cheap, "--phases", "96x64:2:1e-3", "--resume")
    assert json.loads((world / "fastpose" / "state.json").read_text())["step"] == 6
    run(monkeypatch, train.main, *where, *cheap, "--phases", "96x64:2:1e-4", "--resume",
        "--oks", "--relative")  # fmt: skip
    assert json.loads((world / "fastpose" / "state.json").read_text())["step"] == 8

    start = world / "start.weights.h5"
    model.build(64, 64).save_weights(start)
    table = world / "choices.csv"
    run(monkeypatch, choose.main, *where, "--start", start, "--shares", 0, 1,
        "--sizes", "64x64", "96x64", "--csv", table)  # fmt: skip
    with table.open(newline="") as file:
        rows = {(row["size"], row["share"]): row for row in csv.DictReader(file)}
    assert list(rows) == [(s, share) for s in ("64x64", "96x64") for share in ("0.0", "1.0")]
    assert rows["96x64", "0.0"] != rows["96x64", "1.0"] | {"share": "0.0"}
    trained = json.loads((world / "fastpose" / "state.json").read_text())
    assert float(rows["96x64", "1.0"]["oks"]) == trained["oks"]

    run(monkeypatch, export.main, *where[:4], "--run", world / "fastpose",
        "--out", world / "weights")  # fmt: skip
    image, boxes, _ = photo_of(world)
    for flip in (False, True):
        keypoints = pose.load(world / "weights" / "fastpose_m.onnx", flip_test=flip)(image, boxes)
        assert keypoints.shape == (1, 17, 3)
        assert np.isfinite(keypoints).all()


def test_the_expected_miss_is_none_at_the_joint_and_all_far_from_it() -> None:
    from training.fastpose_m.train import expected_miss

    maps = np.zeros((1, 16, 16, 17), np.float32)
    maps[0, 5, 9] = 20  # y, x
    centre = np.tile(np.float32([9, 5]), (1, 17, 1))
    flat = maps.reshape(1, -1, 17)
    np.testing.assert_allclose(expected_miss(flat, centre, 16, 16), 0, atol=1e-3)
    near = np.asarray(expected_miss(flat, centre + np.float32([1, 0]), 16, 16))
    assert near[0, 0] > near[0, 11] > 0  # noses are placed more exactly than hips
    far = np.asarray(expected_miss(flat, centre + np.float32([6, 8]), 16, 16))
    assert (far > 0.9).all()
    assert (near < far).all()


def test_persondet_m(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyact import detect
    from training.persondet_m import export, train

    where = ["--shared", world, "--labels", world / "labels", "--run", world / "persondet"]
    small = ["--init", "random", "--batch", 4, "--size", 96]
    run(monkeypatch, train.main, *where, *small, "--budget", 3)
    run(monkeypatch, export.main, *where, "--out", world / "weights", "--size", 96)
    detector = detect.load(world / "weights" / "persondet_m.onnx", score_threshold=0.001)
    boxes, scores = detector(photo_of(world)[0])
    assert boxes.shape == (len(scores), 4)
    assert len(scores) > 0


def test_keypoint_fusion(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyact import action
    from training import onnx_export
    from training.keypoint_fusion import export, train

    people = world / "labels" / "sports18.npz"
    where = ["--shared", world, "--people", people, "--run", world / "fusion"]
    run(monkeypatch, train.main, *where, "--init", "random", "--batch", 4, "--budget", 3,
        "--degrade", 0.5)  # fmt: skip
    where = ["--shared", world, "--people", people, "--run", world / "fusion"]
    run(monkeypatch, export.main, *where, "--out", world / "weights", "--views", 2,
        "--side", 160)  # fmt: skip
    model = action.load(world / "weights" / "keypoint_fusion.onnx")
    assert model.labels == ("blue", "red")
    image, boxes, keypoints = photo_of(world)
    one, photo = model(image, boxes, keypoints)
    assert one.shape == (1, 2)
    assert photo.sum() == pytest.approx(1, abs=1e-5)
    nobody, photo = model(image, np.zeros((0, 4)), np.zeros((0, 17, 3)))
    assert nobody.shape == (0, 2)
    assert photo.sum() == pytest.approx(1, abs=1e-5)
    network = onnx_export.session((world / "weights" / "keypoint_fusion.onnx").read_bytes())
    crop = np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3), np.uint8)
    points = np.full((2, 17, 3), 0.5, np.float32)
    either_way = [
        network.run(None, {"context": context, "crop": crop, "keypoints": points})[0]
        for context in (crop[:1], crop[:1, :, ::-1])
    ]
    np.testing.assert_allclose(*either_way, atol=1e-4)  # the photo is seen mirrored, too


def test_a_scene_is_heard_beside_the_network(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    from keyact.action.keypoint_fusion import photo_squares
    from training import onnx_export
    from training.keypoint_fusion import export, scene, scene_train, train

    keras.utils.set_random_seed(0)
    monkeypatch.setattr(scene, "STAGES", scene.STAGES[:3])
    before = scene.build()
    start = {layer.name: layer.get_weights() for layer in before.layers}
    monkeypatch.setattr(scene, "imagenet", lambda *_: before)
    people, eyes = world / "labels" / "sports18.npz", world / "scene"
    where = ["--shared", world, "--people", people]
    cheap = ["--run", eyes, "--batch", 4, "--side", 64, "--stages", 2,
             "--rate", 100, "--eyes-rate", 0.01]  # fmt: skip
    run(monkeypatch, scene_train.main, *where, *cheap, "--budget", 3)
    run(monkeypatch, scene_train.main, *where, *cheap, "--budget", 6, "--resume")
    assert json.loads((eyes / "state.json").read_text())["step"] == 9
    learnt = scene.with_head(scene.build(), 2)
    learnt.load_weights(eyes / "last.weights.h5")
    for layer in learnt.layers:
        moved = layer.name.startswith(("stage3", "top")) and "batch" not in layer.name
        for now, then in zip(layer.get_weights(), start.get(layer.name, []), strict=False):
            assert np.allclose(now, then, atol=1e-6) is not moved, layer.name

    out = world / "heard"
    out.mkdir()
    (out / "registry.json").write_text('{"weights": []}')
    where += ["--run", world / "heard_run"]
    run(monkeypatch, train.main, *where, "--init", "random", "--batch", 4, "--budget", 1)
    sized = ["--out", out, "--side", 64]
    run(monkeypatch, export.main, *where, *sized)
    alone = (out / "keypoint_fusion.onnx").read_bytes()
    monkeypatch.setattr(export, "SHARES", (0.5,))
    run(monkeypatch, export.main, *where, *sized, "--scene", eyes)
    both = (out / "keypoint_fusion.onnx").read_bytes()
    rng = np.random.default_rng(0)
    feeds = {
        "context": rng.integers(0, 256, (1, 64, 64, 3), np.uint8),
        "crop": rng.integers(0, 256, (2, 64, 64, 3), np.uint8),
        "keypoints": np.full((2, 17, 3), 0.5, np.float32),
    }
    squares = photo_squares(photo_of(world)[0], scene.SIZE)
    assert len(squares) == 2
    without = onnx_export.session(alone).run(None, feeds)[0]
    heard = onnx_export.session(both).run(None, {**feeds, "squares": squares})[0]
    said = np.asarray(learnt(squares.astype(np.float32) / 127.5 - 1)).mean(0)
    size = np.abs(said).max()
    assert size > 0.05
    np.testing.assert_allclose(heard - without, 0.5 * np.stack([said, said]), atol=0.05 * size)

    put_a_gate_in_front(world, monkeypatch, out)
    gated = onnx_export.session((out / "keypoint_fusion.onnx").read_bytes())
    again = gated.run(None, {**feeds, "squares": squares})[0]
    np.testing.assert_array_equal(again.argmax(1), heard.argmax(1))
    np.testing.assert_allclose(np.exp(again).sum(1), 1, atol=1e-4)  # probabilities now


def put_a_gate_in_front(world: Path, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    """Exercises that are turned copies of the sports' photos are what the gate keeps out."""
    from training.keypoint_fusion import gate, strangers

    source, folder = world / "data" / "sports18", world / "data" / "exercises"
    table = dict(np.load(world / "labels" / "sports18.npz"))
    rows = []
    for i, path in enumerate(table["paths"]):
        target = folder / f"{i}.jpg"
        target.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(target), 255 - cv2.imread(str(source / path)))
        rows.append({"path": f"{i}.jpg", "exercise": f"Plank_{i}", "phase": "0", "group": str(i)})
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    table["paths"] = np.array([row["path"] for row in rows])
    table["split"] = np.full(len(rows), "")
    np.savez(world / "labels" / "exercises.npz", **table)
    parts = {strangers.part_of(row) for row in rows}
    assert parts == {"train", "val"}
    report = world / "gate.json"
    report.write_text('{"steps": 7}')
    run(monkeypatch, gate.main, "--shared", world, "--people", world / "labels",
        "--weights", out, "--report", report)  # fmt: skip
    told = json.loads(report.read_text())
    assert told["steps"] == 7 and told["test"]["photos"] and 0 <= told["exercises_named"] <= 1
    assert told["gate_photos"]["train"] + told["gate_photos"]["val"] == len(rows)


def test_weights_in_pytorchs_order_fit_the_scene_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from keras import layers

    from training.keypoint_fusion import scene

    rng = np.random.default_rng(0)
    monkeypatch.setattr(scene, "STAGES", scene.STAGES[:3])
    source, copy = scene.build(), scene.build()
    tensors = []
    for layer in source.layers:
        values = [rng.uniform(0.5, 1, w.shape).astype(np.float32) for w in layer.get_weights()]
        layer.set_weights(values)
        if isinstance(layer, layers.DepthwiseConv2D):
            values = [value.transpose(2, 3, 0, 1) for value in values]
        elif isinstance(layer, layers.Conv2D):
            values = [value.transpose(3, 2, 0, 1) for value in values]
        elif values:
            values.append(np.array(7))  # how many batches PyTorch saw
        tensors += values
    scene.load_imagenet(copy, [*tensors, np.zeros((1000, 1280)), np.zeros(1000)])
    for mine, theirs in zip(copy.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ValueError):
        scene.load_imagenet(copy, tensors[4:])


def test_ablation_writes_a_row_for_each_set_of_branches(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.keypoint_fusion import frozen

    people = world / "labels" / "sports18.npz"
    where = ["--shared", world, "--people", people, "--cache", world / "features"]
    few = [
        "--init",
        "random",
        "--seeds",
        1,
        "--variants",
        frozen.BASE,
        *list(frozen.VARIANTS)[-3:-1],
    ]
    monkeypatch.setattr(frozen, "BATCH", 4)
    monkeypatch.setattr(frozen, "EPOCHS", 2)
    run(monkeypatch, frozen.main, *where, *few, "--out", world / "a.csv")
    with (world / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["branches"] for row in rows] == few[5:]
    assert all(0 <= float(row["test_top1_mean"]) <= 1 for row in rows)
    assert [bool(row["blind_top1_mean"]) for row in rows] == [False, True, True]
    assert {file.name for file in (world / "features").glob("*.npz")} == {
        f"{split}-{margin}.npz" for split in ("train", "val", "test") for margin in (1.3, 1.0)
    }
    # What is done is not done again.
    monkeypatch.setattr(frozen, "train", None)
    run(monkeypatch, frozen.main, *where, *few, "--out", world / "b.csv")
    assert (world / "b.csv").read_text() == (world / "a.csv").read_text()


def test_folding_keeps_the_function(tmp_path: Path) -> None:
    import keras

    from training.backbone import mobilenet_v2

    source = keras.applications.MobileNetV2(
        include_top=False, alpha=0.35, input_shape=(64, 64, 3), weights=None
    )
    rng = np.random.default_rng(0)
    for layer in source.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [rng.uniform(0.5, 1.5, shape), rng.normal(0, 0.2, shape),
                 rng.normal(0, 0.2, shape), rng.uniform(0.5, 1.5, shape)]
            )  # fmt: skip
    image = rng.uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    expected = np.asarray(source(image, training=False))
    source.save_weights(tmp_path / "net.weights.h5")
    folded = mobilenet_v2((64, 64, 3), tmp_path / "net.weights.h5", alpha=0.35)
    np.testing.assert_allclose(np.asarray(folded(image)), expected, atol=1e-3)


def test_a_pyramid_of_unit_size_computes_the_same() -> None:
    from training.fastpose_m import inherit, model

    rng = np.random.default_rng(0)
    net = model.build(64, 64)
    for layer in net.layers:
        if layer.weights:  # biases too, which start as zeros
            layer.set_weights(
                [w + 0.02 * rng.standard_normal(w.shape) for w in layer.get_weights()]
            )
    photos = [cv2.resize(draw(rng, colour)[0], (64, 64)) for colour in COLOURS.values()] * 8
    images = np.stack(photos).astype(np.float32) / 127.5 - 1
    before = net.predict(images, verbose=0)["maps"]
    inherit.normalise(net, images)
    after = net.predict(images, verbose=0)["maps"]
    np.testing.assert_allclose(after, before, atol=1e-3 * np.abs(before).max())


def test_maps_are_of_the_person_whose_middle_is_in_the_crop() -> None:
    from training.fastpose_m.model import Person

    h, w = 16, 12
    maps = np.zeros((1, h, w, 17), np.float32)
    maps[0, 3, 2], maps[0, 12, 9] = 5, 5.5  # a joint of two people
    middle = np.full((1, 8, 6, 1), -30, np.float32)
    reach = np.zeros((1, 8, 6, 34), np.float32)
    middle[0, 2, 1] = 30  # row 6, column 4 of the crop
    reach[0, 2, 1] = np.tile([-3, -2], 17)  # from there to row 3, column 2
    reach[0, 7, 5] = np.tile([9, 9], 17)  # of a body that is not there
    person = Person()
    found = np.asarray(person([maps, middle, reach]))
    best = found.reshape(h * w, 17).argmax(0)
    np.testing.assert_array_equal(best, 3 * w + 2)
    assert maps.reshape(h * w, 17).argmax(0).min() == 12 * w + 9
    np.testing.assert_allclose(
        found[0, 3, 7] - found[0, 3, 2] + 5, -np.log((25 + 1.8**2) / 1.8**2), atol=1e-3
    )


def test_large_kernels_may_be_stored_in_eight_bits(tmp_path: Path) -> None:
    import keras
    import tensorflow as tf
    from keras import layers

    from training.onnx_export import LARGE, check, convert
    from training.onnx_import import load_shipped

    def network() -> keras.Model:
        image = keras.Input((4, 4, 8))
        x = layers.Conv2D(512, 3, name="small")(image)
        return keras.Model(image, layers.Conv2D(512, 1, name="large")(x))

    net = network()
    kernel, bias = net.get_layer("large").get_weights()
    kernel[..., :2] = 0  # a channel without weights has no scale
    net.get_layer("large").set_weights([kernel, bias + 1])
    spec = tf.TensorSpec((None, 4, 4, 8), tf.float32, name="image")

    def function(image):
        return (net(image),)

    half, eighth = (
        convert(function, [spec], ["out"], {"name": "n"}, least) for least in (None, LARGE)
    )
    assert len(half) - len(eighth) > 0.9 * kernel.size
    image = np.random.default_rng(0).standard_normal((2, 4, 4, 8)).astype(np.float32)
    assert check(eighth, function, {"image": image}, tolerance=0.01) > 1e-5
    (tmp_path / "n.onnx").write_bytes(eighth)
    again = network()
    load_shipped(again, tmp_path / "n.onnx")
    for mine, theirs in zip(again.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=np.abs(theirs).max() / 200 + 1e-6)


def test_pixel_shuffle_of_a_bilinear_kernel_is_bilinear_upsampling() -> None:
    import tensorflow as tf
    from keras import layers

    from training.fastpose_m.model import EdgePad, PixelShuffle
    from training.teachers import bilinear

    small = np.random.default_rng(0).standard_normal((2, 5, 4, 3)).astype(np.float32)
    up = layers.Conv2D(12, 3, use_bias=False)
    padded = EdgePad()(small)
    up.build(padded.shape)
    up.set_weights([bilinear(3)])
    found = PixelShuffle()(up(padded))
    expected = tf.image.resize(small, (10, 8))
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-5)


def test_training_can_go_on_from_a_shipped_file() -> None:
    from keyact import weights
    from training.onnx_export import session
    from training.onnx_import import load_shipped
    from training.persondet_m import model

    path = weights.resolve("detector", "persondet-m").path
    photo = np.random.default_rng(0).integers(0, 256, (1, 320, 320, 3), np.uint8)
    boxes, scores = session(path.read_bytes()).run(None, {"image": photo})
    net = model.build(320, None)
    load_shipped(net, path)
    out = net(photo.astype(np.float32) / 127.5 - 1, training=False)
    found = np.asarray(model.to_boxes(out["sides"], 320))
    np.testing.assert_allclose(found, boxes, atol=0.1)
    np.testing.assert_allclose(1 / (1 + np.exp(-np.asarray(out["scores"]))), scores, atol=1e-3)
    with pytest.raises(ValueError, match="another network"):
        from training.fastpose_m import model as other

        load_shipped(other.build(64, 64), path)


def test_a_shipped_action_model_comes_back_with_its_gate() -> None:
    import onnx
    from onnx.utils import Extractor

    from keyact import weights
    from keyact.runtime import OnnxModel
    from training.keypoint_fusion import model
    from training.onnx_export import session
    from training.onnx_import import load_shipped

    path = weights.resolve("action", "keypoint-fusion").path
    size = OnnxModel(path).meta["input"][0]
    whole = onnx.load(str(path))
    # What the network itself says, before a scene's logits are added.
    *_, said = (n.output[0] for n in whole.graph.node if re.search(r"/logits_\d+/", n.name))
    whole.graph.output.append(onnx.helper.make_tensor_value_info(said, 1, None))
    alone = Extractor(whole).extract_model(["context", "crop", "keypoints"], [said])
    rng = np.random.default_rng(0)
    context, crop = rng.integers(0, 256, (2, 1, size, size, 3), np.uint8)
    keypoints = rng.uniform(0.2, 1, (1, 17, 3)).astype(np.float32) * np.float32([size, size, 1])
    feeds = {"context": context, "crop": crop, "keypoints": keypoints}
    (expected,) = session(alone.SerializeToString()).run(None, feeds)
    net = model.build(expected.shape[1], None, size=size)
    load_shipped(net, path)
    views = (context, context[:, :, ::-1])[: OnnxModel(path).meta.get("photo_views", 1)]
    *photos, crop = (x.astype(np.float32) / 127.5 - 1 for x in (*views, crop))
    found = np.mean([np.asarray(net([photo, crop, keypoints])) for photo in photos], 0)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_soft_labels(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.keypoint_fusion import data, soft_labels, train

    def colours(*_: object) -> soft_labels.Eyes:
        return lambda pictures: pictures.reshape(len(pictures), -1, 3).mean(1), 32

    for eyes in ("mobilenet", "efficientnet"):
        monkeypatch.setattr(soft_labels, eyes, colours)
    people, out = world / "labels" / "sports18.npz", world / "soft.npz"
    where = ["--shared", world, "--people", people]
    run(monkeypatch, soft_labels.main, *where, "--out", out)
    photos, told = data.load(people, world, "train"), np.load(out)
    assert told["paths"].tolist() == photos.paths
    np.testing.assert_allclose(told["probabilities"].sum(1), 1, atol=1e-5)
    assert (told["probabilities"].argmax(1) == photos.labels).all()  # colours are easily told

    run(monkeypatch, train.main, *where, "--run", world / "soft", "--init", "random",
        "--batch", 4, "--budget", 2, "--soft-labels", out)  # fmt: skip
    hard = photos.targets
    data.soften(photos, out, 0.25)
    np.testing.assert_allclose(photos.targets, 0.75 * hard + 0.25 * told["probabilities"])
    with pytest.raises(ValueError, match="of other photos"):
        data.soften(data.load(people, world, "val"), out, 0.25)


def test_a_shipped_pose_network_comes_back_with_its_scores() -> None:
    from keyact import weights
    from training.fastpose_m import model
    from training.onnx_export import session
    from training.onnx_import import load_shipped

    path = weights.resolve("pose", "fastpose-m").path
    crop = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    heatmaps, scores = session(path.read_bytes()).run(None, {"image": crop})
    net = model.build(224, 224)
    load_shipped(net, path)
    out = net(crop.astype(np.float32) / 127.5 - 1, training=False)
    maps = np.exp(np.asarray(out["maps"]).transpose(0, 3, 1, 2))
    np.testing.assert_allclose(maps / maps.sum((2, 3), keepdims=True), heatmaps, atol=1e-5)
    np.testing.assert_allclose(1 / (1 + np.exp(-np.asarray(out["scores"]))), scores, atol=1e-4)
