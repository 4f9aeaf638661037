"""Gradient steps and averaged weights, by PyTorch: on a GPU, where there is one.

Keras moves every map to PyTorch's order of axes and back, and adds biases on their own. The
networks here are therefore computed by :func:`forward`: the same layers and variables, but maps
stay as PyTorch's convolutions like them. A step of FastPose-M takes half as long on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import torch
from keras import layers
from torch.nn import functional

from training.schedule import BETAS, CLIP_NORM, WEIGHT_DECAY, sizes


class Steps:
    """See :class:`training.schedule.Trainer`; ``groups`` are variables of different rates."""

    def __init__(
        self, net: keras.Model, loss: Callable, groups: list[list], relative: list
    ) -> None:
        self._net, self._loss = net, loss
        torch.backends.cudnn.benchmark = True  # every batch is of one size
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._learning = [v.value for group in groups for v in group]
        self._optimizer = torch.optim.AdamW(
            [{"params": [v.value for v in group], "lr": 0.0} for group in groups],
            betas=BETAS, eps=1e-7, weight_decay=WEIGHT_DECAY, fused=self._device == "cuda",
        )  # fmt: skip
        self._relative = [v.value.data for v in relative]
        self._units = [
            torch.as_tensor(sizes(v.cpu().numpy()), device=v.device) for v in self._relative
        ]
        self._all = [v.value.data for v in net.weights]
        self._average = [v.clone() for v in self._all]

    def step(self, batch, rates) -> dict[str, torch.Tensor]:
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        parts = [torch.as_tensor(part).to(self._device, non_blocking=True) for part in batch]
        losses = self._loss(self._net, *parts)
        self._optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(self._learning, CLIP_NORM)
        before = [v.clone() for v in self._relative]
        self._optimizer.step()
        self._rescale(before)
        return {key: value.detach() for key, value in losses.items()}

    @torch.no_grad()
    def _rescale(self, before: list[torch.Tensor]) -> None:
        if before:
            steps = torch._foreach_mul(torch._foreach_sub(self._relative, before), self._units)
            torch._foreach_copy_(self._relative, torch._foreach_add(before, steps))

    @torch.no_grad()
    def average(self, decay: float) -> None:
        torch._foreach_lerp_(self._average, self._all, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        for average, value in zip(self._average, self._all, strict=True):
            now = value.clone()
            value.copy_(average)
            average.copy_(now)


def forward(net: keras.Model, inputs: Any, training: bool = True) -> Any:
    """``net(inputs, training)``: maps (N, h, w, C) in and out, as Keras has them."""
    found = net._run_through_graph(
        [_turned(x) for x in keras.tree.flatten(inputs)],
        lambda layer: partial(_computed, layer, training),
    )
    return keras.tree.map_structure(_back, found)


def _computed(layer: layers.Layer, training: bool, *inputs: Any, **more: Any) -> Any:
    """A layer on maps (N, C, h, w) that lie in memory as (N, h, w, C)."""
    if isinstance(layer, layers.DepthwiseConv2D):
        return _convolved(layer, inputs[0], (2, 3, 0, 1), inputs[0].shape[1])
    if isinstance(layer, layers.Conv2D):
        return _convolved(layer, inputs[0], (3, 2, 0, 1), 1)
    if isinstance(layer, layers.ReLU):
        return functional.hardtanh(inputs[0], 0.0, layer.max_value or float("inf"))
    if isinstance(layer, layers.ZeroPadding2D):
        (top, bottom), (left, right) = layer.padding
        return functional.pad(inputs[0], (left, right, top, bottom))
    if isinstance(layer, layers.Add):
        return sum(inputs[0][1:], inputs[0][0])
    inputs = keras.tree.map_structure(_back, list(inputs))
    if isinstance(layer, keras.Model) and _convolves(layer):
        return keras.tree.map_structure(_turned, forward(layer, inputs[0], training))
    if getattr(layer, "_call_has_training_arg", False):
        more["training"] = training
    return keras.tree.map_structure(_turned, layer(*inputs, **more))


def _convolves(net: keras.Model) -> bool:
    return any(isinstance(layer, layers.Conv2D) for layer in net.layers)


def _convolved(layer, image, order, groups):
    dtype = getattr(torch, layer.compute_dtype)
    padding, wide = 0, layer.kernel_size[0]
    if layer.padding == "same" and layer.strides[0] == 1:
        padding = wide // 2
    elif layer.padding == "same":  # TensorFlow's, of an even number of pixels
        before = (wide - 2) // 2
        image = functional.pad(image, (before, wide - 2 - before) * 2)
    kernel = layer.kernel.value.permute(*order).to(dtype)
    bias = None if layer.bias is None else layer.bias.value.to(dtype)
    return functional.conv2d(image.to(dtype), kernel, bias, layer.strides, padding, groups=groups)


def _turned(x: Any) -> Any:
    return x.permute(0, 3, 1, 2) if getattr(x, "ndim", 0) == 4 else x


def _back(x: Any) -> Any:
    return x.permute(0, 2, 3, 1) if getattr(x, "ndim", 0) == 4 else x
