"""FastPose-M's weights in a network that takes crops of another size.

It is convolutional but for its prior of who is in the middle, which is computed for the size, so
that every height and width that 32 divides will do. Nothing is trained anew.
"""

from __future__ import annotations

from pathlib import Path

from keyact.runtime import OnnxModel


def resize(source: Path, target: Path, size: str) -> None:
    """Write the pose network of ``source`` for crops of ``size`` ("256 x 192": high, wide)."""
    from training import onnx_export
    from training.fastpose_m import export, model
    from training.onnx_import import load_shipped

    height, width = (int(side) for side in size.split(" x "))
    net = model.build(height, width)
    load_shipped(net, source)
    meta = dict(OnnxModel(source).meta)
    meta["sigma"] *= height / meta["input"][0]
    data = onnx_export.convert(
        *export.as_function(net),
        ["heatmaps", "scores"],
        meta | {"input": [height, width]},
        onnx_export.LARGE,
    )
    target.write_bytes(data)
