"""AlphaPose's FastPose, written from its papers, its configurations and the tensor names of its
checkpoints (Fang et al., ICCV 2017 and TPAMI 2022).

A ResNet of bottlenecks whose first block in each stage has a squeeze-and-excitation gate
(Hu et al., CVPR 2018) without reduction; then three pixel shuffles of factor 2 (Shi et al.,
CVPR 2016), the last two behind a 3 x 3 convolution, and the heatmaps. In ``FastPose_DUC`` each
shuffle is followed by 3 x 3 convolutions instead, and with the backbone ``shuffle`` a block that
halves its maps does so by the reverse of a pixel shuffle. It is laid out as an ONNX graph over the
checkpoint's own tensors, so that neither torch nor its exporter takes part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Bottlenecks per stage, by the number of layers."""

CONV_DIMS = (128, 256)
"""Channels in front of the heatmaps: AlphaPose's ``CONV_DIM``, 128 where it is not given."""

HEADS = ("heatmap", "regression", "combined")
"""What AlphaPose's ``LOSS`` is: ``MSELoss``; ``L1JointRegression``; ``Combined``, heatmaps for
the body and regression for face and hands."""
FINE_JOINTS = {68: 42, 133: 110, 136: 110}
"""Number of joints -> how many of them, the last, are of face and hands."""

DUC_CHANNELS = (1024, 512, 256)
"""Channels behind each shuffle of a ``FastPose_DUC``."""

UNSHUFFLED = (128, 256, 512)
"""Channels of the blocks that halve their maps."""

STRIDE = 4
MEAN = (0.406, 0.457, 0.480)
"""Taken off red, green and blue in 0 to 1; AlphaPose divides by no deviation."""

Shape = tuple[int, ...]

_OPSET = 17
_IR = 8  # of the same age as the opset, so that old ONNX Runtimes read it
_EPSILON = 1e-5  # torch's default, which AlphaPose keeps


class Architecture(NamedTuple):
    """What tells one FastPose from another: a key of `BLOCKS`, one of `CONV_DIMS`, K.

    ``duc`` is the number of convolutions behind each shuffle of a ``FastPose_DUC`` (``NUM_CONV``
    of its three stages, published with 4, 2 and 1), and empty for a ``FastPose``. ``unshuffle`` is
    true for AlphaPose's ``BACKBONE: shuffle``.
    """

    layers: int
    conv_dim: int
    joints: int
    duc: tuple[int, ...] = ()
    unshuffle: bool = False

    @property
    def name(self) -> str:
        """AlphaPose's name of the network and of its backbone."""
        backbone = f"ResNet-{self.layers}{' (shuffle)' if self.unshuffle else ''}"
        return f"{'FastPose_DUC' if self.duc else 'FastPose'} with {backbone}"


def tensor_shapes(architecture: Architecture) -> dict[str, Shape]:
    """Name -> shape of every tensor, in the order of the network.

    The names are those of AlphaPose's checkpoints, without the counters of batch norm.
    """
    shapes: dict[str, Shape] = {}
    _lay_out(architecture, shapes.__setitem__, lambda *_, **__: "")
    return shapes


def fastpose(
    architecture: Architecture,
    tensors: Mapping[str, NDArray[np.float32]],
    input_size: tuple[int, int],
    meta: Mapping[str, Any],
) -> bytes:
    """The network as an ONNX file.

    Parameters
    ----------
    tensors : by the names and of the shapes of `tensor_shapes`.
    input_size : ``(H, W)`` of the crops, multiples of 32.
    meta : what the file says of itself.

    Returns
    -------
    ``image`` uint8 (N, H, W, 3) RGB to ``heatmaps`` float32 (N, K, H / 4, W / 4).
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    weights: list[Any] = []

    def want(name: str, shape: Shape) -> None:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(tensors[name]), name))

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    for name, values in (
        ("white", np.float32(255)),
        ("mean", np.array(MEAN, np.float32)),
        ("spatial", np.array([2, 3])),
        *((f"quarters_{n}", _quarters(n)) for n in UNSHUFFLED * architecture.unshuffle),
    ):
        weights.append(numpy_helper.from_array(np.asarray(values), name))
    heatmaps = _lay_out(architecture, want, node)
    nodes.append(helper.make_node("Identity", [heatmaps], ["heatmaps"]))
    height, width = input_size
    maps: list[str | int | None] = ["n", architecture.joints, height // STRIDE, width // STRIDE]
    graph = helper.make_graph(
        nodes,
        "fastpose",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", height, width, 3])],
        [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, maps)],
        weights,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="keyact",
    )
    helper.set_model_props(model, {"keyact": json.dumps(meta)})
    return bytes(model.SerializeToString())


def _quarters(channels: int) -> NDArray[np.int64]:
    """Where SpaceToDepth puts what torch's PixelUnshuffle has at each of its channels.

    Channel 4 c + 2 i + j is row i, column j of channel c; ONNX counts the channels fastest.
    """
    return np.arange(4 * channels).reshape(4, channels).T.ravel()


def _lay_out(
    architecture: Architecture, want: Callable[[str, Shape], None], node: Callable[..., str]
) -> str:
    """Go through the network once: ``want`` each tensor, make each ``node``; the last output."""

    def conv(x: str, name: str, shape: Shape, stride: int = 1, bias: bool = False) -> str:
        names = [f"{name}.weight", f"{name}.bias"][: 1 + bias]
        for one, size in zip(names, (shape, shape[:1]), strict=False):
            want(one, size)
        return node("Conv", x, *names, strides=[stride] * 2, pads=[shape[-1] // 2] * 4)

    def norm(x: str, name: str, channels: int) -> str:
        names = [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        for one in names:
            want(one, (channels,))
        return node("BatchNormalization", x, *names, epsilon=_EPSILON)

    def linear(x: str, name: str, channels: int) -> str:
        want(f"{name}.weight", (channels, channels))
        want(f"{name}.bias", (channels,))
        return node("Gemm", x, f"{name}.weight", f"{name}.bias", transB=1)

    def gated(x: str, name: str, channels: int) -> str:
        gate = node("Flatten", node("GlobalAveragePool", x))
        gate = node("Relu", linear(gate, f"{name}.fc.0", channels))
        gate = node("Sigmoid", linear(gate, f"{name}.fc.2", channels))
        return node("Mul", x, node("Unsqueeze", gate, "spatial"))

    def bottleneck(x: str, name: str, channels: int, width: int, stride: int, first: bool) -> str:
        y = conv(x, f"{name}.conv1", (width, channels, 1, 1))
        y = node("Relu", norm(y, f"{name}.bn1", width))
        if stride > 1 and architecture.unshuffle:
            y = node("Gather", node("SpaceToDepth", y, blocksize=2), f"quarters_{width}", axis=1)
            y = conv(y, f"{name}.conv2.1", (width, 4 * width, 3, 3))
        else:
            y = conv(y, f"{name}.conv2", (width, width, 3, 3), stride)
        y = node("Relu", norm(y, f"{name}.bn2", width))
        y = conv(y, f"{name}.conv3", (4 * width, width, 1, 1))
        y = norm(y, f"{name}.bn3", 4 * width)
        if first:
            y = gated(y, f"{name}.se", 4 * width)
            x = conv(x, f"{name}.downsample.0", (4 * width, channels, 1, 1), stride)
            x = norm(x, f"{name}.downsample.1", 4 * width)
        return node("Relu", node("Add", y, x))

    def shuffled(x: str) -> str:
        return node("DepthToSpace", x, blocksize=2, mode="CRD")  # torch's PixelShuffle

    def upsampled(x: str, name: str, channels: int, out: int) -> str:
        x = conv(x, f"{name}.conv", (4 * out, channels, 3, 3))
        return shuffled(node("Relu", norm(x, f"{name}.bn", 4 * out)))

    x = node("Sub", node("Div", node("Cast", "image", to=1), "white"), "mean")
    x = node("Transpose", x, perm=[0, 3, 1, 2])
    x = norm(conv(x, "preact.conv1", (64, 3, 7, 7), 2), "preact.bn1", 64)
    x = node("MaxPool", node("Relu", x), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, blocks in enumerate(BLOCKS[architecture.layers]):
        width = 64 << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            name = f"preact.layer{stage + 1}.{block}"
            x = bottleneck(x, name, channels, width, stride, first=not block)
            channels = 4 * width
    for stage, count in enumerate(architecture.duc):
        x, width = shuffled(x), channels // 4
        channels = DUC_CHANNELS[stage]
        for i in range(count):
            out = channels if i == count - 1 else width
            name = f"duc{stage + 1}"  # a list of shuffle, convolution, norm, ReLU, convolution...
            x = conv(x, f"{name}.{3 * i + 1}", (out, width, 3, 3))
            x = node("Relu", norm(x, f"{name}.{3 * i + 2}", out))
    if not architecture.duc:
        x = shuffled(x)  # AlphaPose's ``suffle1``, spelt so, which has no tensors
        x = upsampled(x, "duc1", 512, 256)
        x = upsampled(x, "duc2", 256, architecture.conv_dim)
    shape = (architecture.joints, architecture.conv_dim, 3, 3)
    return conv(x, "conv_out", shape, bias=True)
