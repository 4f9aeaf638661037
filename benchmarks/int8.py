"""FastPose-M in 8-bit integers, made with ONNX Runtime's quantisation.

dynamic
    Weights in int8; activations are measured while it runs. Needs no photos.
static
    Weights and activations in int8 (QDQ), calibrated on crops of training photos.
static-float-maps
    The same without the layers from the last upsampling on, whose rounding moves every joint.

Static weights keep 7 of their 8 bits: without VNNI a CPU's products of full 8-bit ones saturate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

KINDS = ("dynamic", "static", "static-float-maps")
_KEPT_LAYERS = 4  # convolutions at the end that "float maps" leaves alone


def quantise(source: Path, target: Path, kind: str, crops: Sequence[np.ndarray]) -> None:
    """Write one of `KINDS` of a pose network.

    Parameters
    ----------
    crops : uint8 (H, W, 3) RGB, what static quantisation is calibrated on.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(crops)

        def get_next(self):
            crop = next(self._left, None)
            return None if crop is None else {"image": np.ascontiguousarray(crop[None])}

    with tempfile.TemporaryDirectory() as folder:
        # The shipped weights are float16 behind casts: fold these, so that they are seen.
        folded = Path(folder, "folded.onnx")
        quant_pre_process(source, folded, skip_symbolic_shape=True)
        convolutions = [n.name for n in onnx.load(folded).graph.node if n.op_type == "Conv"]
        made = Path(folder, "made.onnx")
        if kind == "dynamic":
            quantize_dynamic(folded, made, weight_type=QuantType.QUInt8)
        else:
            quantize_static(
                folded,
                made,
                Reader(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=convolutions[-_KEPT_LAYERS:] if "float" in kind else [],
            )
        model = onnx.load(made)
        known = {entry.key: entry.value for entry in onnx.load(source).metadata_props}
        onnx.helper.set_model_props(model, known)
        target.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, target)
