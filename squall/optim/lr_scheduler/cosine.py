"""Schedules along half a cosine: once, and with restarts."""

from __future__ import annotations

import math

from squall.base import epoch as epoch_module
from squall.optim.lr_scheduler.base import LRScheduler
from squall.optim.optimizer import Optimizer


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

    def _closed_form(self) -> list[float]:
        wave = self._wave(self.last_epoch)
        return [self.eta_min + (base - self.eta_min) * wave / 2 for base in self.base_lrs]

    def get_lr(self) -> list[float]:
        """The rates moved along the cosine from where they are, so that schedules can be combined."""
        step, rates = self.last_epoch, self._rates()
        if step == 0:
            return rates
        if self._step_count == 1 and step > 0:
            return self._closed_form()
        if (step - 1 - self.T_max) % (2 * self.T_max) == 0:
            # leaving the minimum, where a ratio would be 0 / 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                rate + (base - self.eta_min) * rise
                for base, rate in zip(self.base_lrs, rates, strict=True)
            ]
        ratio = self._wave(step) / self._wave(step - 1)
        return [ratio * (rate - self.eta_min) + self.eta_min for rate in rates]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Lowers the learning rate along half a cosine of T_0 steps, begins anew, and so on with longer ones.

    Args:
        optimizer: whose groups are changed. T_0: steps of the first cosine. T_mult: how many times longer each next
            one is. eta_min: the minimum. last_epoch: see base.

    Raises:
        ValueError: unless T_0 and T_mult are positive ints.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0, self.T_i, self.T_mult, self.eta_min, self.T_cur = T_0, T_0, T_mult, eta_min, last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates on the cosine that is being followed."""
        wave = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * wave / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:  # type: ignore[override]
        """Go on by one step, or to any place such as `epoch + batch / batches`."""
        epoch_module.refuse_in_capture(
            f"{type(self).__name__}.step()", "call it after the compiled function, in Python"
        )
        self._step_count += 1
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch, self.T_cur = self.last_epoch + 1, self.T_cur + 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur % self.T_i, self.T_i * self.T_mult
        elif epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        else:
            self._place(epoch)
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def _go_to(self, epoch: float | None = None) -> None:
        self.step(epoch)

    def _place(self, epoch: float) -> None:
        """Which cosine a place is on, and how far along."""
        if self.T_mult == 1:
            self.T_cur, self.T_i = epoch % self.T_0, self.T_0
            return
        done = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
        self.T_cur = epoch - self.T_0 * (self.T_mult**done - 1) / (self.T_mult - 1)
        self.T_i = self.T_0 * self.T_mult**done
