from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from keyact.errors import KeyactError, UnknownNameError
from keyact.evaluate.cost import measure_latency, measure_size


def make(path: Path, nodes: list[Any], weights: dict[str, np.ndarray], shape: list[Any]) -> Path:
    """A network of one image input, with the metadata of an action model."""
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    meta = {"kind": "action", "name": "counted", "labels": ["a", "b"], "input": [32, 32]}
    helper.set_model_props(model, {"keyact": json.dumps(meta)})
    onnx.save(model, path)
    return path


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


node = helper.make_node
CASES = {
    # name: nodes, weights, input shape, multiply-accumulates
    "conv": (
        [node("Conv", ["x", "w", "b"], ["logits"], pads=[1, 1, 1, 1], strides=[2, 2])],
        {"w": floats(8, 3, 3, 3), "b": floats(8)}, ["n", 3, 16, 16], 8 * 8 * 8 * 3 * 3 * 3,
    ),
    "depthwise": (
        [node("Conv", ["x", "w"], ["logits"], group=4, auto_pad="SAME_UPPER")],
        {"w": floats(4, 1, 3, 3)}, [1, 4, 10, 10], 4 * 10 * 10 * 9,
    ),
    "transposed": (
        [node("ConvTranspose", ["x", "w"], ["logits"], strides=[2, 2])],
        {"w": floats(4, 6, 2, 2)}, [1, 4, 5, 5], 4 * 25 * 6 * 4,
    ),
    "gemm": (
        [node("Gemm", ["x", "w"], ["logits"], transB=1)],
        {"w": floats(5, 7)}, ["n", 7], 5 * 7,
    ),
    "matmul": (
        [node("MatMul", ["x", "w"], ["logits"])], {"w": floats(6, 2)}, [1, 3, 6], 3 * 6 * 2,
    ),
    "einsum": (
        [node("Einsum", ["x", "w"], ["logits"], equation="bij,jk->bik")],
        {"w": floats(6, 2)}, [1, 3, 6], 3 * 6 * 2,
    ),
    "half precision, computed in single": (
        [node("Cast", ["h"], ["w"], to=TensorProto.FLOAT), node("MatMul", ["x", "w"], ["logits"])],
        {"h": floats(6, 2).astype(np.float16)}, [1, 3, 6], 3 * 6 * 2,
    ),
    "no products": ([node("Relu", ["x"], ["logits"])], {}, [1, 3, 6], 0),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_multiplications_and_parameters(tmp_path: Path, name: str) -> None:
    nodes, weights, shape, macs = CASES[name]
    size = measure_size(make(tmp_path / "m.onnx", nodes, weights, shape))
    assert size.macs == macs
    assert size.parameters == sum(value.size for value in weights.values())
    assert size.bytes == (tmp_path / "m.onnx").stat().st_size


def test_numbers_that_are_no_weights_do_not_count(tmp_path: Path) -> None:
    nodes = [node("Reshape", ["x", "shape"], ["y"]), node("MatMul", ["y", "w"], ["logits"])]
    weights = {"shape": np.array([2, 3]), "w": floats(3, 4)}
    size = measure_size(make(tmp_path / "m.onnx", nodes, weights, [1, 6]))
    assert size.parameters == 12
    assert size.macs == 2 * 3 * 4


def test_the_shipped_model_is_two_mobilenets_and_an_efficientnet_lite() -> None:
    """MobileNetV2 has 300 million at 224 pixels (Sandler et al., CVPR 2018), and it looks at two
    pictures of 256, the photo and the person. EfficientNet-Lite2 (Google, 2020), which looks at the
    photo in 224 pixels, has 860 million at 260 (whose maps are rounded up) and 6.1 million
    parameters, 1.3 million of them for ImageNet's labels."""
    size = measure_size("keypoint-fusion")
    scene = 860e6 * (224 / 260) ** 2
    assert 0.92 < size.macs / (620e6 * (256 / 224) ** 2 + scene) < 1
    assert 2.2e6 < size.parameters - 4.8e6 < 4e6


def test_latency_is_measured_in_a_process_of_its_own() -> None:
    found = measure_latency("tiny-action", 1, runs=3)
    assert 0 < found.p50 <= found.p95
    assert found.photo_p50 is None
    assert found.memory is None or 10 < found.memory < 4000


def test_what_fails_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        measure_size("tiny-actoin")
    with pytest.raises(KeyactError, match="tiny-actoin") as caught:
        measure_latency("tiny-actoin", 1, runs=1)
    assert "\n" not in str(caught.value)
    with pytest.raises(KeyactError, match="cannot be measured"):
        measure_size(
            make(tmp_path / "m.onnx", [node("MatMul", ["x", "w"], ["logits"])],
                 {"w": floats(5, 2)}, ["n", "m"])
        )  # fmt: skip
