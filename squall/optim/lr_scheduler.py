"""Learning-rate schedules: they write `lr` of the groups, a number that compiled steps take as an argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from squall.base import epoch
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
                group["initial_lr"] = group["lr"]
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

    def step(self) -> None:
        """Go on by one and set the learning rates. Called once an epoch, or once a batch, after
        `optimizer.step()`.

        Raises:
            TraceError: inside a compiled function, where it would happen only once.
        """
        epoch.refuse_in_capture(
            f"{type(self).__name__}.step()", "call it after the compiled function, in Python"
        )
        self._step_count += 1
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, by name."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave. The learning rates themselves are in the optimizer's own state."""
        self.__dict__.update(state_dict)


class LambdaLR(LRScheduler):
    """lr = initial lr * lr_lambda(step).

    Args:
        optimizer: whose groups are changed. lr_lambda: a function of the step, or one for each group.
        last_epoch: see base.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        many = (
            list(lr_lambda)
            if isinstance(lr_lambda, (list, tuple))
            else [lr_lambda] * len(optimizer.param_groups)
        )
        if len(many) != len(optimizer.param_groups):
            raise ValueError(f"Expected {len(optimizer.param_groups)} lr_lambdas, but got {len(many)}")
        self.lr_lambdas = many
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Initial rates times the function's value."""
        return [
            base * function(self.last_epoch)
            for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the functions, which cannot be stored."""
        return {key: value for key, value in super().state_dict().items() if key != "lr_lambdas"}


class StepLR(LRScheduler):
    """Multiplies the learning rate by gamma every step_size steps."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates, lower at every step_size-th step."""
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [group["lr"] * (self.gamma if due else 1.0) for group in self.optimizer.param_groups]


class LinearLR(LRScheduler):
    """Moves the factor of the learning rate from start_factor to end_factor in total_iters steps."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1.0:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal to 1."
            )
        if not 0 <= end_factor <= 1.0:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, step: int) -> float:
        done = min(step, self.total_iters) / self.total_iters if self.total_iters else 1.0
        return self.start_factor + (self.end_factor - self.start_factor) * done

    def get_lr(self) -> list[float]:
        """The rates times how much the factor grew since the last step."""
        if self.last_epoch == 0:
            return [group["lr"] * self.start_factor for group in self.optimizer.param_groups]
        if self.last_epoch > self.total_iters:
            return [group["lr"] for group in self.optimizer.param_groups]
        growth = self._factor(self.last_epoch) / self._factor(self.last_epoch - 1)
        return [group["lr"] * growth for group in self.optimizer.param_groups]


class CosineAnnealingLR(LRScheduler):
    """Lowers the learning rate to eta_min along half a cosine of T_max steps, and raises it again after that.

    Args:
        optimizer: whose groups are changed. T_max: steps to the minimum. eta_min: the minimum. last_epoch:
        see base.

    Example:
        >>> import squall as sq
        >>> optimizer = sq.optim.SGD([sq.nn.Parameter(sq.ones(1))], lr=1.0)
        >>> schedule = CosineAnnealingLR(optimizer, T_max=2)
        >>> for _ in range(2):
        ...     schedule.step()
        ...     print(round(schedule.get_last_lr()[0], 6))
        0.5
        0.0
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _wave(self, step: int) -> float:
        return 1 + math.cos(math.pi * step / self.T_max)

    def get_lr(self) -> list[float]:
        """The rates moved along the cosine from where they are, so that schedules can be combined."""
        step, groups = self.last_epoch, self.optimizer.param_groups
        if step == 0:
            return [group["lr"] for group in groups]
        if self._step_count == 1:
            return [self.eta_min + (base - self.eta_min) * self._wave(step) / 2 for base in self.base_lrs]
        if (step - 1 - self.T_max) % (
            2 * self.T_max
        ) == 0:  # leaving the minimum, where a ratio would be 0 / 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                group["lr"] + (base - self.eta_min) * rise
                for base, group in zip(self.base_lrs, groups, strict=True)
            ]
        ratio = self._wave(step) / self._wave(step - 1)
        return [ratio * (group["lr"] - self.eta_min) + self.eta_min for group in groups]
