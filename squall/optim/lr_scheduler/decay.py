"""Schedules that multiply the learning rate by a factor: at steps, at milestones, linearly, by a function."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from squall.optim.lr_scheduler.base import (
    LRScheduler,
    for_each_group,
    restore_functions,
    saved_functions,
)
from squall.optim.optimizer import Optimizer

RateFunction = Callable[[int], float]


class LambdaLR(LRScheduler):
    """lr = initial lr * lr_lambda(step).

    Args:
        optimizer: whose groups are changed. lr_lambda: a function of the step, or one for each group.
        last_epoch: see base.
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: RateFunction | list[RateFunction], last_epoch: int = -1
    ) -> None:
        self.lr_lambdas = functions_of(optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Initial rates times the function's value."""
        return [
            base * function(self.last_epoch)
            for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; of the functions only the states of callable objects."""
        return {**super().state_dict(), "lr_lambdas": saved_functions(self.lr_lambdas)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave; the functions stay."""
        functions = self.lr_lambdas
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        restore_functions(functions, state_dict.get("lr_lambdas", [None] * len(functions)))


def functions_of(optimizer: Optimizer, given: RateFunction | list[RateFunction]) -> list[RateFunction]:
    """One function a group."""
    many = list(given) if isinstance(given, (list, tuple)) else [given] * len(optimizer.param_groups)
    if len(many) != len(optimizer.param_groups):
        raise ValueError(f"Expected {len(optimizer.param_groups)} lr_lambdas, but got {len(many)}")
    return many


class MultiplicativeLR(LambdaLR):
    """Multiplies the learning rate by lr_lambda(step) at every step; arguments as `LambdaLR`."""

    def get_lr(self) -> list[float]:
        """The rates before times the function's value."""
        if self.last_epoch <= 0:
            return self._rates()
        return [
            rate * function(self.last_epoch)
            for rate, function in zip(self._rates(), self.lr_lambdas, strict=True)
        ]


class StepLR(LRScheduler):
    """Multiplies the learning rate by gamma every step_size steps.

    Args:
        optimizer: whose groups are changed. step_size: steps between. gamma: the factor. last_epoch: see base.
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates, lower at every step_size-th step."""
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [rate * (self.gamma if due else 1.0) for rate in self._rates()]

    def _closed_form(self) -> list[float]:
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Multiplies the learning rate by gamma at each milestone.

    Args:
        optimizer: whose groups are changed. milestones: steps; one that is listed twice counts twice. gamma: the
            factor. last_epoch: see base.

    Example:
        >>> import squall as sq
        >>> optimizer = sq.optim.SGD([sq.nn.Parameter(sq.ones(1))], lr=1.0)
        >>> schedule = MultiStepLR(optimizer, [1, 3], gamma=0.5)
        >>> for _ in range(3):
        ...     schedule.step()
        >>> schedule.get_last_lr()
        [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates, lower where the step is a milestone."""
        times = self.milestones.get(self.last_epoch, 0)
        return [rate * self.gamma**times if times else rate for rate in self._rates()]

    def _closed_form(self) -> list[float]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """Multiplies the learning rate by a factor for the first total_iters steps.

    Args:
        optimizer: whose groups are changed. factor: in [0, 1]. total_iters: steps. last_epoch: see base.
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= factor <= 1.0:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates, lower from the first step and whole again from step total_iters."""
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self._rates()]
        if self.last_epoch == self.total_iters:
            return [rate * (1.0 / self.factor) for rate in self._rates()]
        return self._rates()

    def _closed_form(self) -> list[float]:
        factor = 1.0 if self.last_epoch >= self.total_iters else self.factor
        return [base * factor for base in self.base_lrs]


class LinearLR(LRScheduler):
    """Moves the factor of the learning rate from start_factor to end_factor in total_iters steps.

    Args:
        optimizer: whose groups are changed. start_factor, end_factor: at the first step and at step total_iters.
        total_iters: steps between. last_epoch: see base.
    """

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
            return [rate * self.start_factor for rate in self._rates()]
        if self.last_epoch > self.total_iters:
            return self._rates()
        growth = self._factor(self.last_epoch) / self._factor(self.last_epoch - 1)
        return [rate * growth for rate in self._rates()]

    def _closed_form(self) -> list[float]:
        return [base * self._factor(self.last_epoch) for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Multiplies the learning rate by gamma at every step.

    Args:
        optimizer: whose groups are changed. gamma: the factor. last_epoch: see base.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates before times gamma."""
        return [rate * self.gamma if self.last_epoch else rate for rate in self._rates()]

    def _closed_form(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """Lowers the learning rate to 0 in total_iters steps, as a power of the steps that are left.

    Args:
        optimizer: whose groups are changed. total_iters: steps. power: 1 is a straight line. last_epoch: see base.
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates times how much of the rest is gone."""
        step, whole = self.last_epoch, self.total_iters
        if step == 0 or step > whole:
            return self._rates()
        left = ((1.0 - step / whole) / (1.0 - (step - 1) / whole)) ** self.power
        return [rate * left for rate in self._rates()]

    def _closed_form(self) -> list[float]:
        left = (1.0 - min(self.total_iters, self.last_epoch) / self.total_iters) ** self.power
        return [base * left for base in self.base_lrs]


class ReduceLROnPlateau(LRScheduler):
    """Lowers the learning rate when a metric has stopped getting better.

    Args:
        optimizer: whose groups are changed. mode: "min" or "max", which way is better. factor: below 1. patience: so
            many steps without improvement are allowed. threshold, threshold_mode: what counts as improvement,
            "rel"ative to the best or "abs"olute. cooldown: steps to wait after lowering. min_lr: the least rate, or
            one a group. eps: smaller changes are not made.

    Example:
        >>> import squall as sq
        >>> optimizer = sq.optim.SGD([sq.nn.Parameter(sq.ones(1))], lr=1.0)
        >>> schedule = ReduceLROnPlateau(optimizer, patience=1, factor=0.5)
        >>> for loss in (1.0, 1.0, 1.0):
        ...     schedule.step(loss)
        >>> schedule.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        self.optimizer, self.factor, self.patience, self.cooldown, self.eps = (
            optimizer, factor, patience, cooldown, eps,
        )  # fmt: skip
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.min_lrs = for_each_group(optimizer, "min_lr", min_lr)
        self.last_epoch = 0
        self._last_lr = self._rates()
        self._reset()

    def _reset(self) -> None:
        self.best = float("inf") if self.mode == "min" else -float("inf")
        self.cooldown_counter = self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether steps are waited for after the rate was lowered."""
        return self.cooldown_counter > 0

    def _is_better(self, value: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            return sign * value > sign * self.best * (1.0 + sign * self.threshold)
        return sign * value > sign * (self.best + sign * self.threshold)

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Look at the metric of this epoch, a number or a scalar Tensor."""
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        better = self._is_better(value)
        self.best = value if better else self.best
        self.num_bad_epochs = 0 if better else self.num_bad_epochs + 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            lowered = []
            for rate, least in zip(self._rates(), self.min_lrs, strict=True):
                after = max(float(rate) * self.factor, least)
                lowered.append(after if float(rate) - after > self.eps else rate)
            self._set(lowered)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._rates()
