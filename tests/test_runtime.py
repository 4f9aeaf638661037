from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from keyact import runtime, weights
from keyact.errors import WeightsError
from keyact.runtime import OnnxModel
from tests.onnx_models import make_action, make_detector, make_external, make_pose

IMAGE = {"image": np.zeros((1, 64, 64, 3), np.uint8)}


def test_importing_the_runtime_loads_no_onnxruntime() -> None:
    code = "import sys, keyact.runtime, keyact.weights; print('onnxruntime' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize("as_bytes", [True, False])
def test_model_tells_its_signature_and_runs(tmp_path: Path, as_bytes: bool) -> None:
    data = make_detector(tmp_path / "d.onnx")
    model = OnnxModel(
        data if as_bytes else tmp_path / "d.onnx",
        threads=1,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    assert model.meta["kind"] == "detector" and model.meta["input"] == [64, 64]
    assert model.inputs == {"image": (None, 64, 64, 3)}
    assert set(model.outputs) == {"boxes", "scores"}
    out = model.run(IMAGE)
    assert out["boxes"].shape == (1, 3, 4) and out["scores"].shape == (1, 3)


def test_a_model_without_keyact_metadata_has_empty_meta() -> None:
    model = onnx.load_model_from_string(make_pose())
    del model.metadata_props[:]
    assert OnnxModel(model.SerializeToString()).meta == {}


def _with_metadata(text: str) -> bytes:
    model = onnx.load_model_from_string(make_detector())
    del model.metadata_props[:]
    helper.set_model_props(model, {"keyact": text})
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "not an ONNX file", id="empty"),
        pytest.param(b"this is a text file, not a network\n" * 9, "not an ONNX file", id="text"),
        pytest.param(make_pose()[:-40], "not an ONNX file, or cut short", id="truncated"),
        pytest.param(_with_metadata("{"), "not JSON", id="metadata-broken"),
        pytest.param(_with_metadata("[" * 100_000), "not JSON", id="metadata-deep"),
        pytest.param(_with_metadata("[1]"), "not a JSON object", id="metadata-list"),
    ],
)
def test_bad_files_are_one_line_errors(data: bytes, says: str) -> None:
    with pytest.raises(WeightsError, match=says) as caught:
        OnnxModel(data)
    assert "\n" not in str(caught.value)


def test_every_truncation_is_refused_or_loads_nothing_else() -> None:
    data = make_action()
    for end in range(0, len(data), 17):
        with pytest.raises(WeightsError):
            OnnxModel(data[:end]).require("action", ("context", "crop", "keypoints"), ("logits",))


def test_missing_file_wrong_hash_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.onnx: cannot be read"):
        OnnxModel(tmp_path / "nowhere.onnx")
    make_detector(tmp_path / "d.onnx")
    with pytest.raises(WeightsError, match="SHA-256"):
        OnnxModel(tmp_path / "d.onnx", sha256="0" * 64)
    monkeypatch.setattr(weights, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(runtime, "MAX_FILE_BYTES", 100)
    for source in (tmp_path / "d.onnx", make_detector()):
        with pytest.raises(WeightsError, match="larger than"):
            OnnxModel(source)


def test_external_data_is_refused_even_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_external(tmp_path / "a.onnx")
    monkeypatch.chdir(tmp_path)  # where ONNX Runtime would look
    for source in (tmp_path / "a.onnx", (tmp_path / "a.onnx").read_bytes()):
        with pytest.raises(WeightsError, match="another file"):
            OnnxModel(source)


def test_external_data_inside_a_branch_is_refused() -> None:
    tensor = helper.make_tensor("t", onnx.TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["o"], value=tensor)], "branch", [],
        [helper.make_tensor_value_info("o", onnx.TensorProto.FLOAT, [1])],
    )  # fmt: skip
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )  # fmt: skip
    with pytest.raises(WeightsError, match="another file"):
        OnnxModel(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize(
    "feeds",
    [{}, {"image": np.zeros((1, 8, 8, 3), np.uint8)}, {"image": np.zeros((1, 64, 64, 3))}],
    ids=["missing", "size", "dtype"],
)
def test_wrong_feeds_are_named(feeds: dict[str, np.ndarray]) -> None:
    with pytest.raises(WeightsError, match="the ONNX bytes"):
        OnnxModel(make_detector()).run(feeds)


def test_require_checks_kind_and_signature() -> None:
    model = OnnxModel(make_detector())
    model.require("detector", ("image",), ("boxes",))
    for kind, inputs, outputs in [
        ("pose", ("image",), ("boxes",)),
        ("detector", ("image", "mask"), ("boxes",)),
        ("detector", ("photo",), ("boxes",)),
        ("detector", ("image",), ("heatmaps",)),
        ("detector", (), ("boxes",)),
    ]:
        with pytest.raises(WeightsError):
            model.require(kind, inputs, outputs)
    model.require("detector", (), ("boxes",), optional=("image", "mask"))


def test_threads_must_be_positive() -> None:
    with pytest.raises(ValueError, match="threads"):
        OnnxModel(make_detector(), threads=0)
