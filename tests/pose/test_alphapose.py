"""AlphaPose's network, its conversion, and its way from photo to key points and back."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from keyact import pose, weights
from keyact.errors import UnknownNameError, WeightsError
from keyact.layouts import get_layout
from keyact.pose.alphapose import AlphaPose, checkpoint, decode_heatmaps, decode_regression
from keyact.pose.alphapose.export import convert
from keyact.pose.alphapose.network import Architecture, fastpose
from keyact.pose.base import PoseEstimator
from keyact.pose.onnx_pose import BATCH
from keyact.runtime import OnnxModel
from tests.onnx_models import BACKGROUND, DOT_COLOURS, JOINT_COLOUR, make_pose

Tensors = dict[str, Any]
MEAN = (0.406, 0.457, 0.480)
NORM = {"weight", "bias", "running_mean", "running_var"}


def conv_bn(conv: str, bn: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{conv}.weight": shape, **{f"{bn}.{part}": shape[:1] for part in NORM}}


def published(stages: tuple[int, ...], conv_dim: int, joints: int) -> dict[str, tuple[int, ...]]:
    """The tensors of AlphaPose's checkpoints by name, without the counters of batch norm."""
    table = conv_bn("preact.conv1", "preact.bn1", 64, 3, 7, 7)
    channels = 64
    for stage, blocks in enumerate(stages, 1):
        width = {1: 64, 2: 128, 3: 256, 4: 512}[stage]
        for block in range(blocks):
            at = f"preact.layer{stage}.{block}"
            table |= conv_bn(f"{at}.conv1", f"{at}.bn1", width, channels, 1, 1)
            table |= conv_bn(f"{at}.conv2", f"{at}.bn2", width, width, 3, 3)
            table |= conv_bn(f"{at}.conv3", f"{at}.bn3", 4 * width, width, 1, 1)
            if block == 0:
                table |= conv_bn(
                    f"{at}.downsample.0", f"{at}.downsample.1", 4 * width, channels, 1, 1
                )
                for layer in ("se.fc.0", "se.fc.2"):
                    table[f"{at}.{layer}.weight"] = (4 * width, 4 * width)
                    table[f"{at}.{layer}.bias"] = (4 * width,)
            channels = 4 * width
    table |= conv_bn("duc1.conv", "duc1.bn", 1024, 512, 3, 3)
    table |= conv_bn("duc2.conv", "duc2.bn", {128: 512, 256: 1024}[conv_dim], 256, 3, 3)
    return {
        **table,
        "conv_out.weight": (joints, conv_dim, 3, 3),
        "conv_out.bias": (joints,),
    }


RES50 = published((3, 4, 6, 3), 128, 17)


def random_tensors(shapes: dict[str, tuple[int, ...]], seed: int) -> Tensors:
    """Weights that keep the signal's size through 50 layers, batch norms that are not trivial."""
    torch = pytest.importorskip("torch")
    made = torch.Generator().manual_seed(seed)

    def one(name: str, shape: tuple[int, ...]) -> Any:
        if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
            return torch.rand(shape, generator=made) + 0.5
        spread = 0.2 if len(shape) == 1 else float(np.sqrt(2 / np.prod(shape[1:])))
        return torch.randn(shape, generator=made) * spread

    return {name: one(name, shape) for name, shape in shapes.items()}


def hollow(shapes: dict[str, tuple[int, ...]]) -> Tensors:
    """Zeros that take no room in a file: every tensor is a view of one number."""
    torch = pytest.importorskip("torch")
    return {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}


def reference(tensors: Tensors, stages: tuple[int, ...], crops: np.ndarray) -> np.ndarray:
    """The published network step by step from its tensors, with torch's functions alone."""
    import torch
    from torch.nn import functional as F

    def layer(x: Any, conv: str, bn: str, stride: int = 1, padding: int = 0) -> Any:
        x = F.conv2d(x, tensors[f"{conv}.weight"], stride=stride, padding=padding)
        mean, var = tensors[f"{bn}.running_mean"], tensors[f"{bn}.running_var"]
        return F.batch_norm(x, mean, var, tensors[f"{bn}.weight"], tensors[f"{bn}.bias"], eps=1e-5)

    def linear(x: Any, name: str) -> Any:
        return F.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    x = torch.from_numpy(crops.astype(np.float32) / 255 - np.float32(MEAN)).permute(0, 3, 1, 2)
    x = F.max_pool2d(F.relu(layer(x, "preact.conv1", "preact.bn1", 2, 3)), 3, 2, 1)
    for stage, blocks in enumerate(stages, 1):
        for block in range(blocks):
            at, stride = f"preact.layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = F.relu(layer(x, f"{at}.conv1", f"{at}.bn1"))
            y = F.relu(layer(y, f"{at}.conv2", f"{at}.bn2", stride, 1))
            y = layer(y, f"{at}.conv3", f"{at}.bn3")
            if block == 0:
                squeezed = F.adaptive_avg_pool2d(y, 1).flatten(1)
                gate = linear(F.relu(linear(squeezed, f"{at}.se.fc.0")), f"{at}.se.fc.2")
                y = y * torch.sigmoid(gate)[..., None, None]
                x = layer(x, f"{at}.downsample.0", f"{at}.downsample.1", stride)
            x = F.relu(x + y)
    x = F.pixel_shuffle(x, 2)
    for duc in ("duc1", "duc2"):
        x = F.pixel_shuffle(F.relu(layer(x, f"{duc}.conv", f"{duc}.bn", padding=1)), 2)
    x = F.conv2d(x, tensors["conv_out.weight"], tensors["conv_out.bias"], padding=1)
    return np.asarray(x)


def save(tensors: object, path: Path, **how: Any) -> Path:
    pytest.importorskip("torch").save(tensors, path, **how)
    return path


@pytest.fixture(scope="module")
def res50() -> Tensors:
    return random_tensors(RES50, seed=0)


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory, res50: Tensors) -> Path:
    """FastPose of 17 joints as AlphaPose publishes it, converted."""
    folder = tmp_path_factory.mktemp("body")
    convert(save(res50, folder / "fast.pth"), folder / "fast.onnx", input_size=(128, 96))
    return folder / "fast.onnx"


# The network and its checkpoints


def test_there_are_as_many_tensors_as_in_published_checkpoints() -> None:
    assert len(RES50) == 293
    assert RES50["preact.layer4.0.se.fc.2.weight"] == (2048, 2048)
    assert RES50["preact.layer3.5.conv3.weight"] == (1024, 256, 1, 1)
    trained = sum(np.prod(s) for n, s in RES50.items() if "running" not in n)
    assert round(trained / 1e6, 1) == 40.6


@pytest.mark.parametrize(
    ("architecture", "stages"),
    [
        (Architecture(50, 128, 17), (3, 4, 6, 3)),
        (Architecture(50, 256, 136), (3, 4, 6, 3)),
        (Architecture(101, 128, 26), (3, 4, 23, 3)),
        (Architecture(152, 256, 133), (3, 8, 36, 3)),
    ],
    ids=str,
)
def test_tensors_have_the_published_names_and_shapes(
    architecture: Architecture, stages: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        state = fastpose(architecture).state_dict()
    found = {n: tuple(t.shape) for n, t in state.items() if not n.endswith("num_batches_tracked")}
    assert found == published(stages, architecture.conv_dim, architecture.joints)


def test_onnx_gives_what_the_published_network_gives(body: Path, res50: Tensors) -> None:
    crops = np.random.default_rng(1).integers(0, 256, (3, 128, 96, 3), np.uint8)
    expected = reference(res50, (3, 4, 6, 3), crops)
    assert expected.shape == (3, 17, 32, 24) and expected.std() > 0.01
    found = OnnxModel(body, threads=1).run({"image": crops})["heatmaps"]
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))


def test_metadata_tells_where_it_comes_from(body: Path) -> None:
    meta = OnnxModel(body, threads=1).meta
    assert (meta["kind"], meta["family"], meta["layout"]) == ("pose", "alphapose", "coco17")
    assert (meta["input"], meta["head"], meta["sigma"]) == ([128, 96], "heatmap", 2)
    assert "non-commercial" in meta["licence"]
    digest = hashlib.sha256(body.with_name("fast.pth").read_bytes()).hexdigest()
    assert meta["source_sha256"] == digest
    entry = weights.resolve("pose", body)
    assert (entry.name, entry.kind) == ("alphapose-coco17-res50-heatmap", "pose")
    assert [path.name for path in body.parent.glob("*.part")] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stages", "conv_dim", "joints", "layout"),
    [
        ((3, 4, 6, 3), 256, 136, "halpe136"),
        ((3, 4, 23, 3), 128, 26, "halpe26"),
        ((3, 8, 36, 3), 256, 133, "coco133"),
    ],
)
def test_other_networks_convert(
    tmp_path: Path, stages: tuple[int, ...], conv_dim: int, joints: int, layout: str
) -> None:
    tensors = random_tensors(published(stages, conv_dim, joints), seed=joints)
    save(tensors, tmp_path / "a.pth")
    made = convert(
        tmp_path / "a.pth", tmp_path / "a.onnx", head="regression", input_size=(64, 96), name="own"
    )
    assert (made.architecture.conv_dim, made.layout, made.head) == (conv_dim, layout, "regression")
    assert made.difference <= 1e-4 and made.bytes == (tmp_path / "a.onnx").stat().st_size
    crops = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)
    expected = reference(tensors, stages, crops)
    found = OnnxModel(tmp_path / "a.onnx", threads=1).run({"image": crops})["heatmaps"]
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))
    estimate = pose.load(tmp_path / "a.onnx", threads=1, flip_test=True)
    assert (estimate.name, estimate.layout) == ("own", layout)
    assert estimate(np.zeros((50, 50, 3), np.uint8), [[0, 0, 40, 50]]).shape == (1, joints, 3)


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param(lambda t: {"state_dict": t, "epoch": 3}, id="state_dict"),
        pytest.param(lambda t: {"model": {f"module.{n}": v for n, v in t.items()}}, id="module"),
        pytest.param(lambda t: {**t, "duc1.bn.num_batches_tracked": t["duc1.bn.bias"][0]}, id="bn"),
    ],
)
def test_wrapped_checkpoints_are_read(tmp_path: Path, wrapped: Callable[[Tensors], object]) -> None:
    path = save(wrapped(hollow(RES50)), tmp_path / "a.pth")
    read = checkpoint.read_checkpoint(path)
    assert read.architecture == Architecture(50, 128, 17)
    assert not read.network.conv_out.weight.any()


def test_files_of_old_torch_are_read(tmp_path: Path) -> None:
    path = save(hollow(RES50), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert checkpoint.read_checkpoint(path).architecture.layers == 50


def without(*names: str) -> Callable[[Tensors], object]:
    return lambda tensors: {n: t for n, t in tensors.items() if n not in names}


def reshaped(name: str, *shape: int) -> Callable[[Tensors], object]:
    return lambda tensors: {**tensors, name: tensors[name].flatten()[:1].expand(shape)}


def added(*names: str) -> Callable[[Tensors], object]:
    return lambda tensors: {**tensors, **{name: tensors["conv_out.bias"] for name in names}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("duc1.bn.bias", "conv_out.bias"), r"2 missing: .*duc1\.bn\.bias"),
        (without("conv_out.weight"), r"1 missing: conv_out\.weight"),
        (without(*[n for n in RES50 if ".se." in n]), r"16 missing: .*fc.*, \.\.\."),
        (added("duc3.1.weight", "head.bias"), r"2 unexpected: duc3\.1\.weight, head\.bias"),
        (reshaped("duc2.conv.weight", 512, 256, 1, 1), r"1 mis-shaped: duc2.*\(512, 256, 1, 1\)"),
        (reshaped("conv_out.weight", 17, 99, 3, 3), r"mis-shaped: conv_out\.weight"),
        (reshaped("conv_out.weight", 17), r"mis-shaped: conv_out\.weight"),
        (reshaped("conv_out.weight", 18, 128, 3, 3), r"mis-shaped: conv_out\.bias is \(17,\)"),
        (added("preact.layer3.6.conv1.weight"), r"7 blocks in preact\.layer3"),
        (added("preact.layer2.0.conv2_offset.weight"), "deformable"),
        (added("two\nlines"), "unexpected: two lines"),
        (lambda t: {"fc.weight": t["conv_out.bias"]}, "not a FastPose"),
        (lambda t: {**t, "epoch": 3}, "no tensors: epoch"),
        (lambda t: [t], "no tensors by name"),
        (lambda t: {}, "no tensors by name"),
        (lambda t: {**t, "conv_out.bias": t["conv_out.bias"] + np.nan}, "finite"),
        (lambda t: {**t, "conv_out.bias": t["conv_out.bias"].int()}, "finite"),
    ],
)
def test_other_tensors_are_refused_in_one_line(
    tmp_path: Path, change: Callable[[Tensors], object], message: str
) -> None:
    path = save(change(hollow(RES50)), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=message) as caught:
        convert(path, tmp_path / "a.onnx")
    text = str(caught.value)
    assert "a.pth" in text and "\n" not in text and len(text) < 700
    assert not (tmp_path / "a.onnx").exists()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("evil",))


def test_no_code_in_a_checkpoint_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw.pth").write_bytes(pickle.dumps({"a": Evil()}))
    save({"a": Evil()}, tmp_path / "zip.pth")
    for name in ("raw.pth", "zip.pth"):
        with pytest.raises(WeightsError, match="tensors alone") as caught:
            checkpoint.read_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("content", [b"", b"no network", b"PK\x03\x04 cut", bytes(5000)])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("torch")
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"a\.pth") as caught:
        checkpoint.read_checkpoint(tmp_path / "a.pth")
    assert "\n" not in str(caught.value)


def test_large_files_are_refused_packed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(checkpoint, "MAX_BYTES", 2**20)
    (tmp_path / "large.pth").write_bytes(bytes(2**20 + 1))
    with zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**21))
    assert (tmp_path / "packed.pth").stat().st_size < 2**14
    for name in ("large.pth", "packed.pth"):
        with pytest.raises(WeightsError, match="larger than 1 MiB"):
            checkpoint.read_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    ("shapes", "options", "error", "message"),
    [
        ((50, 128, 136), {}, WeightsError, "--head regression"),
        ((50, 128, 68), {"head": "heatmap"}, WeightsError, "68 joints; .* 17, 26, 133, 136"),
        ((50, 128, 25), {"head": "heatmap"}, WeightsError, "--layout: .*openpose25"),
        ((50, 128, 17), {"layout": "halpe26"}, WeightsError, "17 joints, layout halpe26 has 26"),
        ((50, 128, 17), {"layout": "coco71"}, UnknownNameError, "did you mean 'coco17'"),
        ((50, 128, 17), {"head": "heatmaps"}, UnknownNameError, "did you mean 'heatmap'"),
        ((50, 128, 17), {"input_size": (250, 192)}, WeightsError, "multiples of 32"),
        ((50, 128, 17), {"input_size": (32, 10**9)}, WeightsError, "multiples of 32"),
        ((50, 128, 17), {"name": "my net"}, WeightsError, "'my net' is no name"),
        ((50, 128, 17), {"target": "a.bin"}, WeightsError, r"a\.bin: .* end in \.onnx"),
    ],
)
def test_options_that_do_not_fit(
    tmp_path: Path,
    shapes: tuple[int, int, int],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    _, conv_dim, joints = shapes
    path = save(hollow(published((3, 4, 6, 3), conv_dim, joints)), tmp_path / "a.pth")
    target = tmp_path / options.pop("target", "a.onnx")
    with pytest.raises(error, match=message):
        convert(path, target, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pth"]


def test_a_failed_conversion_leaves_the_old_file(tmp_path: Path) -> None:
    tensors = hollow(RES50)
    tensors["conv_out.bias"] = tensors["conv_out.bias"] + 1e38  # finite, but its sum is not
    tensors["conv_out.weight"] = tensors["conv_out.weight"] + 1e38
    tensors["duc2.bn.bias"] = tensors["duc2.bn.bias"] + 1e38
    save(tensors, tmp_path / "a.pth")
    (tmp_path / "a.onnx").write_text("old")
    with pytest.raises(WeightsError, match="nothing was written"):
        convert(tmp_path / "a.pth", tmp_path / "a.onnx", input_size=(64, 64))
    assert (tmp_path / "a.onnx").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    path = save(hollow(RES50), tmp_path / "a.pth")
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(WeightsError, match=r"a\.onnx: cannot be written"):
        convert(path, tmp_path / "a.onnx", input_size=(64, 64))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "a.pth"]


def test_without_torch_the_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(WeightsError, match=r"pip install 'keyact\[torch\]'"):
        convert(tmp_path / "a.pth", tmp_path / "a.onnx")


# From photo to key points


@pytest.fixture
def dots(tmp_path: Path) -> Callable[..., AlphaPose]:
    """The tiny network that finds coloured dots, as if AlphaPose's."""

    def make(head: str = "heatmap", **options: Any) -> AlphaPose:
        meta = {"family": "alphapose", "head": head, "sigma": 2.0}
        data = make_pose(tmp_path / "dots.onnx", scores=False, **meta)
        return AlphaPose(OnnxModel(data, threads=1), "dots", **options)

    return make


JOINTS = np.array(
    [
        [120, 40], [136, 30], [104, 30], [152, 36], [88, 36], [150, 70], [90, 70],
        [165, 100], [75, 100], [172, 130], [66, 130], [140, 140], [100, 140],
        [144, 190], [94, 190], [148, 240], [90, 240],
    ],
    np.float64,
)  # fmt: skip
BOX = [50.0, 15, 190, 260]
BOXES = np.array(
    [
        BOX,
        [60.3, 20.7, 180.2, 150.9],
        [-500, -500, -400, -300],
        [230, 290, 900, 900],
        [100, 100, 100.5, 100.2],
        [10, 10, 10, 10],
        [0, 0, 240, 300],
        [-1e9, -1e9, 1e9, 1e9],
    ]
)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    image = np.full((300, 240, 3), BACKGROUND, np.uint8)
    for (x, y), colour in zip(JOINTS, DOT_COLOURS[JOINT_COLOUR], strict=True):
        cv2.circle(image, (int(x), int(y)), 5, tuple(int(v) for v in colour[::-1]), -1)
    noise = np.random.default_rng(0).integers(-20, 20, image.shape)
    return np.asarray((image + noise).clip(0, 255), np.uint8)


def by_hand(
    model: OnnxModel, image: np.ndarray, box: list[float], head: str, flip: bool, shift: bool
) -> np.ndarray:
    """What AlphaPose's papers and the baseline it builds on say, one number at a time."""
    height, width = model.meta["input"]
    x1, y1, x2, y2 = box
    cx, cy, w, h = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    if w > h * width / height:
        h = w * height / width
    else:
        w = h * width / height
    w, h = w * 1.25, h * 1.25
    there = np.array([[width / w, 0, width / 2 - cx * width / w],
                      [0, height / h, height / 2 - cy * height / h]])  # fmt: skip
    crop = cv2.warpAffine(image, there, (width, height), flags=cv2.INTER_LINEAR)[None, ..., ::-1]
    maps = model.run({"image": np.ascontiguousarray(crop)})["heatmaps"][0]
    rows, columns = maps.shape[1:]
    if flip:
        other = model.run({"image": np.ascontiguousarray(crop[:, :, ::-1])})["heatmaps"][0]
        other = other[get_layout(model.meta["layout"]).flip][..., ::-1].copy()
        if shift:
            other[..., 1:] = other[..., :-1].copy()
        maps = (maps + other) / 2
    found = []
    for one in maps.astype(np.float64):
        if head == "heatmap":
            row, column = divmod(int(one.argmax()), columns)
            score, x, y = one[row, column], float(column), float(row)
            if score <= 0:
                x = y = 0.0
            elif 1 < column < columns - 1 and 1 < row < rows - 1:
                x += 0.25 * np.sign(one[row, column + 1] - one[row, column - 1])
                y += 0.25 * np.sign(one[row + 1, column] - one[row - 1, column])
        else:
            one = 1 / (1 + np.exp(-one))
            score, one = one.max(), one / one.sum()
            x = sum(one[:, i].sum() * i for i in range(columns))
            y = sum(one[i].sum() * i for i in range(rows))
        found.append([(x - columns / 2) * w / columns + cx, (y - rows / 2) * h / rows + cy, score])
    return np.array(found)


@pytest.mark.parametrize("head", ["heatmap", "regression"])
@pytest.mark.parametrize(("flip", "shift"), [(False, False), (True, False), (True, True)])
def test_key_points_are_those_of_the_published_formulas(
    dots: Callable[..., AlphaPose], photo: np.ndarray, head: str, flip: bool, shift: bool
) -> None:
    estimate = dots(head, flip_test=flip, flip_shift=shift)
    for box in ([*BOX], [60.3, 20.7, 180.2, 150.9], [-20.0, 90.0, 230.0, 120.0]):
        expected = by_hand(estimate._model, photo, box, head, flip, shift)
        np.testing.assert_allclose(estimate(photo, [box])[0], expected, atol=0.01)


@pytest.mark.parametrize("flip", [False, True])
def test_the_real_network_keeps_to_the_formulas(body: Path, photo: np.ndarray, flip: bool) -> None:
    estimate = pose.load(body, threads=1, flip_test=flip)
    assert isinstance(estimate, AlphaPose)
    expected = by_hand(estimate._model, photo, BOX, "heatmap", flip, True)
    expected[:, 2] = expected[:, 2].clip(0, 1)
    np.testing.assert_allclose(estimate(photo, [BOX])[0], expected, atol=0.01)


@pytest.mark.parametrize("decode", [None, "argmax", "integral", "dark"])
def test_dots_are_found(
    dots: Callable[..., AlphaPose], photo: np.ndarray, decode: str | None
) -> None:
    found = dots(decode=decode)(photo, [BOX])[0]
    # AlphaPose's frame places a cell 1.5 input pixels off the middle of what it covers.
    assert np.abs(found[:, :2] - JOINTS).max() < 6


def estimators(dots: Callable[..., AlphaPose]) -> Iterator[AlphaPose]:
    for head in ("heatmap", "regression"):
        for flip_test in (False, True):
            yield dots(head, flip_test=flip_test)


def test_the_contract_is_kept(dots: Callable[..., AlphaPose], photo: np.ndarray) -> None:
    boxes = np.concatenate([BOXES] * 3)
    assert len(boxes) > 2 * BATCH
    for estimate in estimators(dots):
        assert isinstance(estimate, PoseEstimator)
        assert estimate(photo, []).shape == (0, 17, 3)
        before, copy = photo.copy(), boxes.copy()
        together = estimate(photo, boxes)
        assert together.shape == (len(boxes), 17, 3) and together.dtype == np.float32
        assert np.isfinite(together).all()
        assert (together[..., 2] >= 0).all() and (together[..., 2] <= 1).all()
        np.testing.assert_array_equal(estimate(photo, boxes), together)
        np.testing.assert_array_equal(photo, before)
        np.testing.assert_array_equal(boxes, copy)
        alone = np.concatenate([estimate(photo, box[None]) for box in BOXES] * 3)
        np.testing.assert_allclose(together[..., 2], alone[..., 2], atol=1e-3)
        np.testing.assert_allclose(together[0], alone[0], atol=0.05)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 4000, 3), (3000, 2, 3), (2, 40000, 3)])
def test_odd_photos(dots: Callable[..., AlphaPose], shape: tuple[int, ...]) -> None:
    found = dots()(np.zeros(shape, np.uint8), [[0, 0, shape[1], shape[0]]])
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    "changes",
    [{"head": "both"}, {"head": None}, {"family": "x"}, {"input": [250, 192]}, {"sigma": "wide"},
     {"box_margin": float("nan")}, {"layout": "coco18"}, {"kind": "action"}],
    ids=str,
)  # fmt: skip
def test_bad_metadata_is_refused(changes: dict[str, object]) -> None:
    data = make_pose(**{"family": "alphapose", "head": "heatmap", **changes})  # type: ignore[arg-type]
    with pytest.raises(WeightsError):
        AlphaPose(OnnxModel(data, threads=1), "bad")


def test_maps_that_do_not_fit_the_layout(photo: np.ndarray) -> None:
    data = make_pose(family="alphapose", head="heatmap", layout="halpe26")
    with pytest.raises(WeightsError, match="26 joints of layout halpe26"):
        AlphaPose(OnnxModel(data, threads=1), "bad")(photo, [BOX])


def test_decode_methods_by_head(dots: Callable[..., AlphaPose]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'dark'"):
        dots(decode="drak")
    with pytest.raises(UnknownNameError, match="regression head"):
        dots("regression", decode="dark")
    assert dots("regression", decode="integral").decode == "integral"


def test_loading_by_path_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "mine.onnx"
    make_pose(file, family="alphapose", head="regression", name="mine")
    make_pose(tmp_path / "plain.onnx")
    monkeypatch.setenv("KEYACT_HOME", str(tmp_path))
    for asked in (file, str(file), f"alphapose:{file}", "mine"):
        found = pose.load(asked, threads=1)
        assert isinstance(found, AlphaPose) and found.name == "mine"
    for asked in ("alphapose", "alphapose:fast.pth"):
        with pytest.raises(WeightsError, match="keyact alphapose convert"):
            pose.load(asked)
    with pytest.raises(WeightsError, match=r"none\.onnx"):
        pose.load(f"alphapose:{tmp_path / 'none.onnx'}")
    with pytest.raises(WeightsError, match=r"plain\.onnx"):
        pose.load(f"alphapose:{tmp_path / 'plain.onnx'}")


def test_a_converted_file_runs_without_torch(body: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "onnx"):
        monkeypatch.setitem(sys.modules, name, None)
    found = pose.load(f"alphapose:{body}", threads=1)(np.zeros((9, 9, 3), np.uint8), [[0, 0, 9, 9]])
    assert found.shape == (1, 17, 3)


def test_metadata_is_plain_json(body: Path) -> None:
    (entry,) = onnx.load(body).metadata_props
    assert entry.key == "keyact" and json.loads(entry.value)["family"] == "alphapose"


# Decoding


def one_map(height: int = 16, width: int = 12, **cells: float) -> np.ndarray:
    """Zeros but for cells such as x3y5=1."""
    made = np.zeros((1, 1, height, width), np.float32)
    for cell, value in cells.items():
        x, y = cell[1:].split("y")
        made[0, 0, int(y), int(x)] = value
    return made


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"x5y7": 1.0, "x6y7": 0.5}, (5.25, 7)),
        ({"x5y7": 1.0, "x4y7": 0.5, "x5y8": 0.1}, (4.75, 7.25)),
        ({"x5y7": 1.0}, (5, 7)),
        ({"x2y2": 1.0, "x3y2": 0.5, "x2y1": 0.5}, (2.25, 1.75)),
        ({"x1y7": 1.0, "x2y7": 0.5, "x1y8": 0.5}, (1, 7)),  # second column: not moved at all
        ({"x10y14": 1.0, "x9y14": 0.5}, (9.75, 14)),  # last but one on both axes
        ({"x11y7": 1.0, "x11y8": 0.5}, (11, 7)),
        ({"x5y15": 1.0, "x4y15": 0.5}, (5, 15)),
    ],
)
def test_heatmap_decoding(cells: dict[str, float], expected: tuple[float, float]) -> None:
    found, score = decode_heatmaps(one_map(**cells))
    assert tuple(found[0, 0]) == expected
    assert score[0, 0] == 1


def test_maps_without_a_positive_value() -> None:
    found, score = decode_heatmaps(one_map(x5y7=-0.5) - 1)
    assert tuple(found[0, 0]) == (0, 0) and score[0, 0] == -1


def test_regression_decoding() -> None:
    maps = one_map(x3y5=40, x5y9=40) - 20
    found, score = decode_regression(maps)
    # Two cells of 1 and 190 of sigmoid(-20): the mean of the two.
    np.testing.assert_allclose(found[0, 0], (4, 7), atol=1e-5)
    assert score[0, 0] == pytest.approx(1)
    found, score = decode_regression(one_map() + 0.3)
    np.testing.assert_allclose(found[0, 0], (5.5, 7.5))
    assert score[0, 0] == pytest.approx(1 / (1 + np.exp(-0.3)))


@pytest.mark.parametrize("level", [-1e30, -800, -90, 90, 1e30])
def test_regression_decoding_of_extreme_maps(level: float) -> None:
    found, score = decode_regression(np.full((1, 1, 16, 12), level, np.float32))
    assert np.isfinite(found).all()
    assert score[0, 0] == pytest.approx(float(level > 0), abs=1e-9)
