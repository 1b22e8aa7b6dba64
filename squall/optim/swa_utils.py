"""Stochastic weight averaging under PyTorch's names; the averages themselves are in `squall.nn.utils.averaging`."""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.optim.lr_scheduler.base import LRScheduler, for_each_group
from squall.optim.optimizer import Optimizer

_AVERAGES = ("AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
             "get_swa_multi_avg_fn", "update_bn")


def __getattr__(name: str) -> Any:
    if name in _AVERAGES:
        return getattr(sq.nn.utils.averaging, name)
    raise AttributeError(f"module 'squall.optim.swa_utils' has no attribute {name!r}")


class SWALR(LRScheduler):
    """Moves the learning rate to a constant one in some steps.

    Args:
        optimizer: whose groups are changed. swa_lr: the rate at the end, a number or one a group. anneal_epochs: steps.
            anneal_strategy: "cos" or "linear". last_epoch: see base.

    Example:
        >>> import squall as sq
        >>> optimizer = sq.optim.SGD([sq.nn.Parameter(sq.ones(1))], lr=1.0)
        >>> schedule = SWALR(optimizer, 0.5, anneal_epochs=2, anneal_strategy="linear")
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        for rate, group in zip(for_each_group(optimizer, "swa_lr", swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _part(self, step: int) -> float:
        """How far the rate has moved."""
        part = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return part if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * part)) / 2

    def get_lr(self) -> list[float]:
        """The rates between where they began, as found from the last ones, and the end."""
        step = self.last_epoch if self.anneal_epochs else max(1, self.last_epoch)
        now, before = self._part(step), self._part(max(0, step - 1))
        rates = []
        for group, rate in zip(self.optimizer.param_groups, self._rates(), strict=True):
            start = group["swa_lr"] if before == 1 else (rate - before * group["swa_lr"]) / (1 - before)
            rates.append(group["swa_lr"] * now + start * (1 - now))
        return rates
