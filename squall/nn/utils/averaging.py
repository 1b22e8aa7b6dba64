"""Averages of a model's parameters over training: equal weights, or exponentially falling ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import squall as sq
from squall.nn.batch_normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from squall.nn.module import Module


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """`avg_fn` for an exponential moving average that keeps `decay` of itself each time."""
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")
    return lambda average, current, count: decay * average + (1 - decay) * current


def get_swa_avg_fn() -> Callable:
    """`avg_fn` for the mean of all updates."""
    return lambda average, current, count: average + (current - average) / (count + 1)


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """`multi_avg_fn` for an exponential moving average that keeps `decay` of itself each time, in place.

    Raises:
        ValueError: for a decay outside of [0, 1].

    Example:
        >>> import squall as sq
        >>> averages = [sq.zeros(1)]
        >>> sq.optim.swa_utils.get_ema_multi_avg_fn(0.75)(averages, [sq.ones(1)], 1)
        >>> averages
        [tensor([0.2500])]
    """
    return _for_each(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable:
    """`multi_avg_fn` for the mean of all updates, in place.

    Example:
        >>> import squall as sq
        >>> averages = [sq.zeros(1)]
        >>> sq.optim.swa_utils.get_swa_multi_avg_fn()(averages, [sq.ones(1)], 1)
        >>> averages
        [tensor([0.5000])]
    """
    return _for_each(get_swa_avg_fn())


def _for_each(average: Callable) -> Callable:
    def update(averages: Any, current: Any, count: Any) -> None:
        with sq.no_grad():
            for own, other in zip(averages, current, strict=True):
                own.copy_(average(own, other, count))

    return update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's over several updates.

    Args:
        model: is copied. device: where the copy goes. avg_fn: `avg_fn(average, current, updates so far)` gives the new
            average; the mean by default. multi_avg_fn: the same for lists, writing in place. use_buffers: average
            buffers too instead of copying them; integers are copied.

    Attributes:
        module: the copy. n_averaged: int64 scalar, how many updates there were.

    Example:
        >>> import squall as sq
        >>> model = sq.nn.Linear(1, 1, bias=False)
        >>> average = AveragedModel(model, avg_fn=get_ema_avg_fn(0.5))
        >>> for value in (1.0, 3.0):
        ...     _ = sq.nn.init.constant_(model.weight, value)
        ...     average.update_parameters(model)
        >>> average.module.weight.item()
        2.0
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", sq.tensor(0, dtype=sq.int64))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def _averaged(self, model: Module) -> list[Any]:
        buffers = list(model.buffers()) if self.use_buffers else []
        return [t.detach() for t in (*model.parameters(), *buffers)]

    def update_parameters(self, model: Module) -> None:
        """Take the model's parameters into the averages."""
        mine, theirs = self._averaged(self.module), self._averaged(model)
        with sq.no_grad():
            first, count = self.n_averaged == 0, self.n_averaged
            if self.multi_avg_fn is not None:
                if first.item():
                    for average, current in zip(mine, theirs, strict=True):
                        average.copy_(current)
                else:
                    self.multi_avg_fn(mine, theirs, count)
            else:
                function = self.avg_fn or get_swa_avg_fn()
                for average, current in zip(mine, theirs, strict=True):
                    if average.is_floating_point():
                        value = function(average, current, count.to(average.dtype)).to(average.dtype)
                        average.copy_(sq.where(first, current, value))
                    else:
                        average.copy_(current)
            if not self.use_buffers:
                for own, other in zip(self.module.buffers(), model.buffers(), strict=True):
                    own.copy_(other.detach())
            self.n_averaged.add_(1)


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Find the running statistics of a model's batch normalisations anew, as means over a data loader.

    Args:
        loader: gives batches, or (batch, ...) sequences. model: whose statistics are replaced. device: where
            batches go.
    """
    found = [m for m in model.modules() if isinstance(m, (BatchNorm1d, BatchNorm2d, BatchNorm3d))]
    if not found:
        return
    before, mode = [m.momentum for m in found], model.training
    for module in found:
        module.reset_running_stats()
        module.momentum = None
    model.train()
    with sq.no_grad():
        for batch in loader:
            batch = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(batch if device is None else batch.to(device))
    for module, momentum in zip(found, before, strict=True):
        module.momentum = momentum
    model.train(mode)
