"""Gradient steps and averaged weights, by PyTorch: on a GPU, where there is one."""

from __future__ import annotations

from collections.abc import Callable

import keras
import torch

from training.schedule import BETAS, CLIP_NORM, WEIGHT_DECAY


class Steps:
    """See :class:`training.schedule.Trainer`; ``groups`` are variables of different rates."""

    def __init__(self, net: keras.Model, loss: Callable, groups: list[list]) -> None:
        self._net, self._loss = net, loss
        torch.backends.cudnn.benchmark = True  # every batch is of one size
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._learning = [v.value for group in groups for v in group]
        self._optimizer = torch.optim.AdamW(
            [{"params": [v.value for v in group], "lr": 0.0} for group in groups],
            betas=BETAS, eps=1e-7, weight_decay=WEIGHT_DECAY, fused=self._device == "cuda",
        )  # fmt: skip
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
        self._optimizer.step()
        return {key: value.detach() for key, value in losses.items()}

    @torch.no_grad()
    def average(self, decay: float) -> None:
        torch._foreach_lerp_(self._average, self._all, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        for average, value in zip(self._average, self._all, strict=True):
            now = value.clone()
            value.copy_(average)
            average.copy_(now)
