"""Read an AlphaPose checkpoint: tensors only, every one of them accounted for."""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyact.errors import WeightsError
from keyact.pose.alphapose.network import (
    BLOCKS,
    CONV_DIMS,
    DUC_CHANNELS,
    Architecture,
    tensor_shapes,
)

MAX_BYTES = 2**30
"""A FastPose with 152 layers has 0.3 GB."""

_WRAPPERS = ("state_dict", "model")
_COUNTER = "num_batches_tracked"  # of no use after training; older torch does not save it
_NAMED = 12  # tensors named in an error, of each kind; the rest are counted


class Checkpoint(NamedTuple):
    """The tensors of a FastPose by their published names, and the hash of their file."""

    tensors: dict[str, NDArray[np.float32]]
    architecture: Architecture
    sha256: str


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a ``.pth`` file of AlphaPose.

    The depth, the width in front of the heatmaps and the number of joints are taken from the
    tensors. No code in the file is run.

    Raises
    ------
    WeightsError : missing, too large, not tensors alone, tensors that are not FastPose's, or
        torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"{path}: reading a checkpoint needs torch: pip install 'keyact[torch]'"
        ) from error

    data = _bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old pickles: what counts is whether it reads
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler and the zip reader raise what they like
        # torch's own message tells how to run the code in the file after all: not passed on.
        raise WeightsError(
            f"{path}: not a checkpoint of tensors alone, or damaged; nothing else is read, "
            "because it could run code"
        ) from error
    tensors = _tensors(loaded, path)
    architecture = _architecture(tensors, path)
    given = {name: value for name, value in tensors.items() if not name.endswith(_COUNTER)}
    shapes = {name: tuple(value.shape) for name, value in given.items()}
    _compare(tensor_shapes(architecture), shapes, architecture, path)
    for name, value in given.items():
        dense = value.is_floating_point() and value.layout == torch.strided
        if not dense or not torch.isfinite(value).all():
            raise WeightsError(f"{path}: {name} holds something other than finite numbers")
    # detach: a checkpoint may hold parameters, which ask for gradients.
    arrays = {name: value.detach().float().numpy() for name, value in given.items()}
    return Checkpoint(arrays, architecture, hashlib.sha256(data).hexdigest())


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    size = len(data)
    if zipfile.is_zipfile(io.BytesIO(data)):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                size = max(size, sum(member.file_size for member in archive.infolist()))
        except (zipfile.BadZipFile, ValueError) as error:
            raise WeightsError(f"{path}: damaged ({error})") from error
    if size > MAX_BYTES:
        raise WeightsError(f"{path}: larger than {MAX_BYTES / 2**20:g} MiB")
    return data


def _tensors(loaded: object, path: Path) -> dict[str, Any]:
    """Name -> tensor, without the wrappers that training scripts put round it."""
    import torch

    for _ in _WRAPPERS:
        if isinstance(loaded, Mapping):
            inner = (loaded[key] for key in _WRAPPERS if isinstance(loaded.get(key), Mapping))
            loaded = next(inner, loaded)
    if not isinstance(loaded, Mapping) or not loaded:
        raise WeightsError(f"{path}: holds no tensors by name; give the checkpoint of a network")
    odd = [k for k, v in loaded.items() if not isinstance(k, str) or not torch.is_tensor(v)]
    if odd:
        raise WeightsError(f"{path}: entries that are no tensors: {_listing(odd)}")
    if all(name.startswith("module.") for name in loaded):
        return {name.removeprefix("module."): value for name, value in loaded.items()}
    return dict(loaded)


def _architecture(tensors: Mapping[str, Any], path: Path) -> Architecture:
    if not any(name.startswith("preact.layer3.") for name in tensors):
        raise WeightsError(
            f"{path}: not a FastPose of AlphaPose; it has tensors {_listing(tensors)}"
        )
    offsets = [name for name in tensors if "offset" in name]
    if offsets:
        raise WeightsError(
            f"{path}: a FastPose with deformable convolutions (DCN), which is not supported: "
            f"{_listing(offsets)}"
        )
    # The depth whose blocks are there; where some lack, the comparison names their tensors.
    blocks = {name.split(".")[2] for name in tensors if name.startswith("preact.layer3.")}
    last = max((int(i) for i in blocks if i.isdecimal() and len(i) < 4), default=0)
    layers = next((n for n, known in BLOCKS.items() if last < known[2]), max(BLOCKS))
    # When the last layer itself is missing or odd, the comparison that follows says so.
    shape = tuple(tensors["conv_out.weight"].shape) if "conv_out.weight" in tensors else ()
    joints = shape[0] if len(shape) == 4 else 17
    conv_dim = shape[1] if len(shape) == 4 and shape[1] in CONV_DIMS else CONV_DIMS[0]
    duc: tuple[int, ...] = ()
    if "duc1.1.weight" in tensors:
        counts = (_convolutions(tensors, f"duc{stage + 1}") for stage in range(len(DUC_CHANNELS)))
        duc, conv_dim = tuple(counts), DUC_CHANNELS[-1]
    return Architecture(layers, conv_dim, joints, duc, "preact.layer2.0.conv2.1.weight" in tensors)


def _convolutions(tensors: Mapping[str, Any], stage: str) -> int:
    """How many there are in a stage of FastPose_DUC, each with its batch norm and ReLU."""
    indices = [name.split(".")[1] for name in tensors if name.startswith(f"{stage}.")]
    last = max((int(i) for i in indices if i.isdecimal() and len(i) < 3), default=0)
    return max(1, (last + 1) // 3)


def _compare(
    wanted: Mapping[str, tuple[int, ...]],
    given: Mapping[str, tuple[int, ...]],
    architecture: Architecture,
    path: Path,
) -> None:
    missing = [name for name in wanted if name not in given]
    extra = [name for name in given if name not in wanted]
    shaped = [
        f"{name} is {given[name]}, wanted {shape}"
        for name, shape in wanted.items()
        if name in given and given[name] != shape
    ]
    faults = [
        f"{len(names)} {what}: {_listing(names)}"
        for what, names in (("missing", missing), ("unexpected", extra), ("mis-shaped", shaped))
        if names
    ]
    if faults:
        raise WeightsError(f"{path}: not the tensors of {architecture.name}; " + "; ".join(faults))


def _listing(names: Iterable[object]) -> str:
    shown = [" ".join(str(name)[:100].split()) for name in names]
    return ", ".join(shown[:_NAMED]) + (", ..." if len(shown) > _NAMED else "")
