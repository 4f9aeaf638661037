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
from keyact.pose.alphapose.crop import crop, crop_frames
from keyact.pose.alphapose.export import convert
from keyact.pose.alphapose.network import BLOCKS, Architecture, fastpose, tensor_shapes
from keyact.pose.base import PoseEstimator
from keyact.pose.onnx_pose import BATCH
from keyact.runtime import OnnxModel
from tests.onnx_models import BACKGROUND, DOT_COLOURS, JOINT_COLOUR, make_pose
from tests.pose import torch_fastpose

Tensors = dict[str, Any]
MEAN = (0.406, 0.457, 0.480)
NORM = {"weight", "bias", "running_mean", "running_var"}


def conv_bn(conv: str, bn: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{conv}.weight": shape, **{f"{bn}.{part}": shape[:1] for part in NORM}}


def published(
    stages: tuple[int, ...],
    conv_dim: int,
    joints: int,
    duc: tuple[int, ...] = (),
    unshuffle: bool = False,
) -> dict[str, tuple[int, ...]]:
    """The tensors of AlphaPose's checkpoints by name, without the counters of batch norm."""
    table = conv_bn("preact.conv1", "preact.bn1", 64, 3, 7, 7)
    channels = 64
    for stage, blocks in enumerate(stages, 1):
        width = {1: 64, 2: 128, 3: 256, 4: 512}[stage]
        for block in range(blocks):
            at = f"preact.layer{stage}.{block}"
            table |= conv_bn(f"{at}.conv1", f"{at}.bn1", width, channels, 1, 1)
            if unshuffle and stage > 1 and block == 0:
                table |= conv_bn(f"{at}.conv2.1", f"{at}.bn2", width, 4 * width, 3, 3)
            else:
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
    if duc:
        for stage, (count, width, out) in enumerate(
            zip(duc, (512, 256, 128), (1024, 512, 256), strict=True), 1
        ):
            for i in range(count):
                last = i == count - 1
                conv, bn = f"duc{stage}.{3 * i + 1}", f"duc{stage}.{3 * i + 2}"
                table |= conv_bn(conv, bn, out if last else width, width, 3, 3)
    else:
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
    random = np.random.default_rng(seed)

    def one(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
            size = 0.2 if name.endswith("bn3.weight") else 1  # what each block adds
            return (random.random(shape, np.float32) + np.float32(0.5)) * np.float32(size)
        spread = 0.2 if len(shape) == 1 else float(np.sqrt(2 / np.prod(shape[1:])))
        return random.standard_normal(shape, np.float32) * np.float32(spread)

    return {name: one(name, shape) for name, shape in shapes.items()}


def hollow(shapes: dict[str, tuple[int, ...]]) -> Tensors:
    """Torch's zeros that take no room in a file: every tensor is a view of one number."""
    torch = pytest.importorskip("torch")
    return {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}


def reference(tensors: Tensors, stages: tuple[int, ...], crops: np.ndarray) -> np.ndarray:
    """The published network step by step from its tensors, in NumPy, crop by crop."""

    def conv(x: np.ndarray, name: str, stride: int = 1, padding: int = 0) -> np.ndarray:
        weight = tensors[f"{name}.weight"]
        x = np.pad(x, [(0, 0), (padding, padding), (padding, padding)])
        windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (1, 2))
        return np.tensordot(weight, windows[:, ::stride, ::stride], ((1, 2, 3), (0, 3, 4)))

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        weight, bias, mean, var = (
            tensors[f"{name}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(var + 1e-5) * weight + bias

    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return tensors[f"{name}.weight"] @ x + tensors[f"{name}.bias"]

    def shuffle(x: np.ndarray) -> np.ndarray:
        """Channel 4 c + 2 i + j of a cell becomes channel c of the pixel in row i, column j."""
        out = np.empty((len(x) // 4, 2 * x.shape[1], 2 * x.shape[2]), x.dtype)
        for i in range(2):
            for j in range(2):
                out[:, i::2, j::2] = x[2 * i + j :: 4]
        return out

    def unshuffle(x: np.ndarray) -> np.ndarray:
        """The pixel in row i, column j of channel c becomes channel 4 c + 2 i + j of its cell."""
        out = np.empty((4 * len(x), x.shape[1] // 2, x.shape[2] // 2), x.dtype)
        for i in range(2):
            for j in range(2):
                out[2 * i + j :: 4] = x[:, i::2, j::2]
        return out

    def pool(x: np.ndarray) -> np.ndarray:
        x = np.pad(x, [(0, 0), (1, 1), (1, 1)], constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
        return windows[:, ::2, ::2].max((3, 4))

    def one(crop: np.ndarray) -> np.ndarray:
        x = (crop.astype(np.float32) / 255 - np.float32(MEAN)).transpose(2, 0, 1)
        x = pool(relu(norm(conv(x, "preact.conv1", 2, 3), "preact.bn1")))
        for stage, blocks in enumerate(stages, 1):
            for block in range(blocks):
                at, stride = f"preact.layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
                y = relu(norm(conv(x, f"{at}.conv1"), f"{at}.bn1"))
                if f"{at}.conv2.1.weight" in tensors:
                    y = conv(unshuffle(y), f"{at}.conv2.1", 1, 1)
                else:
                    y = conv(y, f"{at}.conv2", stride, 1)
                y = relu(norm(y, f"{at}.bn2"))
                y = norm(conv(y, f"{at}.conv3"), f"{at}.bn3")
                if block == 0:
                    gate = relu(linear(y.mean((1, 2)), f"{at}.se.fc.0"))
                    gate = 1 / (1 + np.exp(-linear(gate, f"{at}.se.fc.2")))
                    y = y * gate[:, None, None]
                    x = norm(conv(x, f"{at}.downsample.0", stride), f"{at}.downsample.1")
                x = relu(x + y)
        for duc in ("duc1", "duc2", "duc3"):
            x = shuffle(x) if f"{duc}.1.weight" in tensors else x
            for i in range(1, 99, 3):
                if f"{duc}.{i}.weight" in tensors:
                    x = relu(norm(conv(x, f"{duc}.{i}", padding=1), f"{duc}.{i + 1}"))
        if "duc3.1.weight" in tensors:
            return conv(x, "conv_out", padding=1) + tensors["conv_out.bias"][:, None, None]
        x = shuffle(x)
        for duc in ("duc1", "duc2"):
            x = shuffle(relu(norm(conv(x, f"{duc}.conv", padding=1), f"{duc}.bn")))
        return conv(x, "conv_out", padding=1) + tensors["conv_out.bias"][:, None, None]

    return np.stack([one(crop) for crop in crops])


def meta_of(joints: int, size: tuple[int, int], head: str = "heatmap") -> dict[str, Any]:
    names = {17: "coco17", 26: "halpe26", 68: "halpe68", 133: "coco133", 136: "halpe136"}
    return {
        "kind": "pose", "family": "alphapose", "name": f"fast{joints}", "layout": names[joints],
        "input": list(size), "stride": 4, "head": head, "sigma": 2.0, "box_margin": 1.25,
    }  # fmt: skip


def save(tensors: object, path: Path, **how: Any) -> Path:
    pytest.importorskip("torch").save(tensors, path, **how)
    return path


@pytest.fixture(scope="module")
def res50() -> Tensors:
    return random_tensors(RES50, seed=0)


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory, res50: Tensors) -> Path:
    """FastPose of 17 joints as AlphaPose publishes it, as an ONNX file."""
    path = tmp_path_factory.mktemp("body") / "fast.onnx"
    meta = meta_of(17, (128, 96))
    path.write_bytes(fastpose(Architecture(50, 128, 17), res50, (128, 96), meta))
    return path


# The network and its checkpoints


def test_there_are_as_many_tensors_as_in_published_checkpoints() -> None:
    assert len(RES50) == 293
    assert RES50["preact.layer4.0.se.fc.2.weight"] == (2048, 2048)
    assert RES50["preact.layer3.5.conv3.weight"] == (1024, 256, 1, 1)
    trained = sum(np.prod(s) for n, s in RES50.items() if "running" not in n)
    assert round(trained / 1e6, 1) == 40.6


@pytest.mark.parametrize("joints", [17, 26, 68, 133, 136])
@pytest.mark.parametrize("conv_dim", [128, 256])
@pytest.mark.parametrize("layers", [50, 101, 152])
def test_tensors_have_the_published_names_and_shapes(
    layers: int, conv_dim: int, joints: int
) -> None:
    found = tensor_shapes(Architecture(layers, conv_dim, joints))
    assert found == published(BLOCKS[layers], conv_dim, joints)


def test_there_are_as_many_tensors_in_the_published_duc() -> None:
    """``fast_421_res152_256x192.pth``: three shuffles with 4, 2 and 1 convolutions behind."""
    found = tensor_shapes(Architecture(152, 256, 17, duc=(4, 2, 1)))
    assert found == published(BLOCKS[152], 256, 17, duc=(4, 2, 1))
    ends = [name for name in found if name.startswith("duc") and len(found[name]) == 4]
    assert [found[name][:2] for name in ends] == [
        (512, 512), (512, 512), (512, 512), (1024, 512), (256, 256), (512, 256), (256, 128),
    ]  # fmt: skip


def test_onnx_gives_what_the_published_network_gives(body: Path, res50: Tensors) -> None:
    crops = np.random.default_rng(1).integers(0, 256, (2, 128, 96, 3), np.uint8)
    expected = reference(res50, (3, 4, 6, 3), crops)
    assert expected.shape == (2, 17, 32, 24) and expected.std() > 0.01
    found = OnnxModel(body, threads=1).run({"image": crops})["heatmaps"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(50, 256, 136),
        Architecture(101, 128, 68),
        Architecture(152, 256, 133),
        Architecture(50, 256, 136, duc=(4, 2, 1), unshuffle=True),
        Architecture(101, 256, 133, duc=(1, 3, 2)),
    ],
    ids=lambda architecture: architecture.name,
)
def test_other_networks(architecture: Architecture) -> None:
    layers, joints = architecture.layers, architecture.joints
    tensors = random_tensors(published(BLOCKS[layers], *architecture[1:]), seed=joints)
    data = fastpose(architecture, tensors, (64, 96), meta_of(joints, (64, 96), "combined"))
    crops = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)
    model = OnnxModel(data, threads=1)
    expected = reference(tensors, BLOCKS[layers], crops)
    np.testing.assert_allclose(model.run({"image": crops})["heatmaps"], expected, atol=1e-4)
    estimate = AlphaPose(model, "own", flip_test=True)
    assert estimate(np.zeros((50, 50, 3), np.uint8), [[0, 0, 40, 50]]).shape == (1, joints, 3)


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(50, 256, 26),
        Architecture(152, 256, 17, duc=(4, 2, 1)),
        Architecture(50, 256, 17, duc=(4, 2, 1), unshuffle=True),
    ],
    ids=lambda architecture: architecture.name,
)
def test_a_checkpoint_of_torch_becomes_the_same_network(
    tmp_path: Path, architecture: Architecture
) -> None:
    """From a torch module of the published layout, through a .pth file, to heatmaps."""
    torch = pytest.importorskip("torch", reason="reading .pth files needs the extra torch")
    layers, joints = architecture.layers, architecture.joints
    with torch.device("meta"):
        network = torch_fastpose.fastpose(architecture)
    tensors = random_tensors(published(BLOCKS[layers], *architecture[1:]), seed=joints)
    state = {name: torch.from_numpy(value) for name, value in tensors.items()}
    counters = [name for name in network.state_dict() if name.endswith("num_batches_tracked")]
    state |= {name: torch.tensor(7) for name in counters}
    network.load_state_dict(state, assign=True)
    torch.save(network.state_dict(), tmp_path / "fast.pth")

    made = convert(tmp_path / "fast.pth", tmp_path / "fast.onnx", input_size=(128, 96))
    assert made.architecture == architecture
    assert made.bytes == (tmp_path / "fast.onnx").stat().st_size
    crops = np.random.default_rng(1).integers(0, 256, (2, 128, 96, 3), np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(crops)).numpy()
    model = OnnxModel(tmp_path / "fast.onnx", threads=1)
    # 152 random layers give maps of up to 60, of which single precision leaves fewer digits.
    near = max(1e-4, 1e-5 * float(np.abs(expected).max()))
    np.testing.assert_allclose(model.run({"image": crops})["heatmaps"], expected, atol=near)

    meta = model.meta
    assert (meta["kind"], meta["family"], meta["head"]) == ("pose", "alphapose", "heatmap")
    assert (meta["input"], meta["sigma"], meta["box_margin"]) == ([128, 96], 2, 1.25)
    assert "non-commercial" in meta["licence"]
    digest = hashlib.sha256((tmp_path / "fast.pth").read_bytes()).hexdigest()
    assert meta["source_sha256"] == digest
    entry = weights.resolve("pose", tmp_path / "fast.onnx")
    kind = "-duc" * bool(architecture.duc) + "-shuffle" * architecture.unshuffle
    assert (entry.name, entry.kind) == (
        f"alphapose-{made.layout}-res{layers}{kind}-heatmap",
        "pose",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fast.onnx", "fast.pth"]


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
    assert not read.tensors["conv_out.weight"].any() and set(read.tensors) == set(RES50)


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
        (added("preact.layer3.6.conv1.weight"), r"ResNet-101; \d+ missing: preact\.layer3\.6\.bn1"),
        (without(*[n for n in RES50 if "layer3.5" in n]), r"15 missing: preact\.layer3\.5\.conv1"),
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
        ((50, 128, 68), {}, WeightsError, "--head combined"),
        ((50, 128, 17), {"head": "combined"}, WeightsError, "no head combined"),
        ((50, 128, 21), {"head": "heatmap"}, WeightsError, "21 joints; .* 17, 26, 68, 133, 136"),
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

    def make(
        head: str = "heatmap", height: int = 256, width: int = 192, **options: Any
    ) -> AlphaPose:
        meta = {"family": "alphapose", "head": head, "sigma": 2.0}
        data = make_pose(tmp_path / "dots.onnx", height, width, scores=False, **meta)
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
    fine = {"heatmap": 0, "regression": len(maps), "combined": 42 if len(maps) == 68 else 110}[head]
    found = []
    for joint, one in enumerate(maps.astype(np.float64)):
        if joint < len(maps) - fine:
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


def published_crop(image: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """AlphaPose's crop one number at a time, in single precision as it computes."""
    one = np.float32
    x1, y1, x2, y2 = (one(value) for value in box)
    w, h = x2 - x1, y2 - y1
    cx, cy = x1 + w * one(0.5), y1 + h * one(0.5)
    if w < one(width / height) * h:
        w = h * one(width / height)
    w = w * one(1.25)
    top = one(float(cy) - 0.5 * float(w))  # half a width above the middle
    corner = cx - (cy - top)  # and as far to the left of that
    there = np.array([[cx, cy], [cx, top], [corner, top]], np.float32)
    above = height / 2 - width / 2
    here = np.array([[width / 2, height / 2], [width / 2, above], [0, above]], np.float32)
    matrix = cv2.getAffineTransform(there, here)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)


@pytest.mark.parametrize("size", [(256, 192), (384, 288), (64, 64)])
def test_crops_are_alphaposes_to_the_grey_level(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (213, 317, 3), np.uint8)
    centre, side = rng.uniform(-20, [337, 233], (200, 2)), np.exp(rng.uniform(0.5, 6.5, (200, 2)))
    boxes = np.hstack([centre - side / 2, centre + side / 2]).astype(np.float32)
    for box, middle, across in zip(boxes, *crop_frames(boxes, size, 1.25), strict=True):
        found = crop(image, middle, across, size)
        np.testing.assert_array_equal(found, published_crop(image, box, *size))


@pytest.mark.parametrize("head", ["heatmap", "regression"])
@pytest.mark.parametrize(("flip", "shift"), [(False, False), (True, False), (True, True)])
def test_key_points_are_those_of_the_published_formulas(
    dots: Callable[..., AlphaPose], photo: np.ndarray, head: str, flip: bool, shift: bool
) -> None:
    estimate = dots(head, flip_test=flip, flip_shift=shift)
    for box in ([*BOX], [60.3, 20.7, 180.2, 150.9], [-20.0, 90.0, 230.0, 120.0]):
        expected = by_hand(estimate._model, photo, box, head, flip, shift)
        np.testing.assert_allclose(estimate(photo, [box])[0], expected, atol=0.01)


def make_maps(joints: int, head: str) -> OnnxModel:
    """A network whose maps are a random mix of the crop's colours for each joint."""
    node, random = onnx.helper.make_node, np.random.default_rng(joints)
    constants = {
        "mix": random.normal(0, 0.02, (joints, 3, 4, 4)).astype(np.float32),
        "mean": np.full((1, 1, 1, 3), 128, np.float32),
    }
    graph = onnx.helper.make_graph(
        [
            node("Cast", ["image"], ["pixels"], to=onnx.TensorProto.FLOAT),
            node("Sub", ["pixels", "mean"], ["centred"]),
            node("Transpose", ["centred"], ["planes"], perm=[0, 3, 1, 2]),
            node("Conv", ["planes", "mix"], ["heatmaps"], strides=[4, 4]),
        ],
        "maps",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["n", 256, 192, 3])],
        [
            onnx.helper.make_tensor_value_info(
                "heatmaps", onnx.TensorProto.FLOAT, ["n", joints, 64, 48]
            )
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.helper.set_model_props(model, {"keyact": json.dumps(meta_of(joints, (256, 192), head))})
    return OnnxModel(model.SerializeToString(), threads=1)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("joints", "head"),
    [(17, "heatmap"), (26, "regression"), (68, "combined"), (133, "heatmap"), (133, "combined"),
     (136, "regression"), (136, "combined")],
)  # fmt: skip
def test_every_skeleton_and_head_keeps_to_the_formulas(
    photo: np.ndarray, joints: int, head: str, flip: bool
) -> None:
    model = make_maps(joints, head)
    estimate = AlphaPose(model, "maps", flip_test=flip)
    box = [60.3, 20.7, 180.2, 150.9]
    expected = by_hand(model, photo, box, head, flip, True)
    expected[:, 2] = expected[:, 2].clip(0, 1)
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
            yield dots(head, 64, 64, flip_test=flip_test)


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
    [{"head": "both"}, {"head": None}, {"head": "combined"}, {"family": "x"},
     {"input": [250, 192]}, {"sigma": "wide"}, {"box_margin": float("nan")},
     {"layout": "coco18"}, {"kind": "action"}],
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


def test_the_file_runs_without_torch(body: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
