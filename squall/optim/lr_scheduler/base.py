"""Learning-rate schedules: they write `lr` of the groups, a number that compiled steps take as an argument."""

from __future__ import annotations

import types
from typing import Any

import squall as sq
from squall.base import epoch as epoch_module
from squall.optim.optimizer import Optimizer


class LRScheduler:
    """The base: counts steps and sets the learning rate of each group to what `get_lr` gives.

    Args:
        optimizer: whose groups are changed. last_epoch: the step to go on from; -1 begins.

    Attributes:
        base_lrs: the learning rates at the beginning. last_epoch: steps done.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer, self.last_epoch, self._step_count = optimizer, last_epoch, 0
        for position, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{position}] when resuming an optimizer"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.step()

    def get_lr(self) -> list[float]:
        """The learning rate of each group for the step `last_epoch`, from the ones before."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The learning rates set last."""
        return self._last_lr

    def _rates(self) -> list[Any]:
        """The learning rates as they are."""
        return current_rates(self.optimizer)

    def step(self, epoch: int | None = None) -> None:
        """Go on by one and set the learning rates. Called once an epoch, or once a batch, after
        `optimizer.step()`.

        Args:
            epoch: the step to go to instead; deprecated in PyTorch, and taken as there.

        Raises:
            TraceError: inside a compiled function, where it would happen only once.
        """
        epoch_module.refuse_in_capture(
            f"{type(self).__name__}.step()", "call it after the compiled function, in Python"
        )
        self._step_count += 1
        self._go_to(epoch)

    def _go_to(self, epoch: int | None = None) -> None:
        """Set the learning rates of the next step, or of a given one."""
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            self.last_epoch = epoch
            rates = self._closed_form()
        self._set(rates)

    def _set(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            set_rate(group, rate)
        self._last_lr = current_rates(self.optimizer)

    def _closed_form(self) -> list[float]:
        """The rates of step `last_epoch` without those before, where a schedule has such a form."""
        return self.get_lr()

    def _begin_again(self) -> None:
        """Take the first step anew."""
        self._step_count = 0
        self.step()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, by name."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave. The learning rates themselves are in the optimizer's own state."""
        self.__dict__.update(state_dict)


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Write a learning rate into a group; where the group holds a Tensor, into that."""
    if isinstance(group["lr"], sq.Tensor):
        group["lr"].fill_(float(rate))
    else:
        group["lr"] = rate


def current_rates(optimizer: Optimizer) -> list[Any]:
    """The learning rate of each group; Tensors are copied."""
    return [
        group["lr"].clone() if isinstance(group["lr"], sq.Tensor) else group["lr"]
        for group in optimizer.param_groups
    ]


def for_each_group(optimizer: Optimizer, name: str, value: Any) -> list[Any]:
    """An option as a list with one value a group; ValueError for a list of another length."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(optimizer.param_groups)
    if len(value) != len(optimizer.param_groups):
        raise ValueError(f"Expected {len(optimizer.param_groups)} values for {name}, got {len(value)}")
    return list(value)


def saved_functions(functions: list[Any]) -> list[dict[str, Any] | None]:
    """The states of callable objects, for a state dictionary; functions themselves cannot be stored."""
    return [None if isinstance(f, types.FunctionType) else dict(f.__dict__) for f in functions]


def restore_functions(functions: list[Any], states: list[dict[str, Any] | None]) -> None:
    """Give callable objects the states that `saved_functions` took."""
    for function, state in zip(functions, states, strict=True):
        if state is not None:
            function.__dict__.update(state)
