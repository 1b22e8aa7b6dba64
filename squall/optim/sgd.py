"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from squall.base.epoch import number
from squall.frontend.core import record
from squall.frontend.views import write
from squall.ir.op import ops
from squall.optim.optimizer import (
    Optimizer,
    check_at_least_zero,
    check_not_differentiable,
    precise,
    zeros_for,
)


class SGD(Optimizer):
    """p -= lr * d, where d is the gradient plus weight_decay * p, gathered with momentum.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: learning rate. momentum: how much of the past
            direction is kept. dampening: how much of the new one is left out. weight_decay: added gradient of
            weight_decay / 2 * p^2.
        nesterov: look ahead along the momentum. maximize: go up instead of down. foreach, fused: accepted as
            in PyTorch; every step is compiled as a whole anyway.

    Raises:
        ValueError: for negative numbers, or nesterov without momentum or with dampening.

    Example:
        >>> import squall as sq
        >>> p = sq.nn.Parameter(sq.ones(2))
        >>> optimizer = sq.optim.SGD([p], lr=0.5)
        >>> p.sum().backward()
        >>> optimizer.step()
        >>> p.tolist()
        [0.5, 0.5]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_not_differentiable(differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _check_options(self, group: dict[str, Any]) -> None:
        check_at_least_zero(
            learning_rate=group["lr"],
            momentum_value=group["momentum"],
            weight_decay_value=group["weight_decay"],
        )
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def _update_group(self, group: dict[str, Any], parameters: list[Any]) -> None:
        momentum, dampening = group["momentum"] != 0, group["dampening"] != 0
        names = ("lr", "weight_decay", "momentum", "dampening") if momentum else ("lr", "weight_decay")
        numbers = [precise(number(group, name)) for name in names]
        for p in parameters:
            state, kept, first = self.state[p] if momentum else {}, (), False
            if momentum:
                first = state.get("momentum_buffer") is None
                if first:
                    self._restructured()
                    state["momentum_buffer"] = zeros_for(p)
                kept = (state["momentum_buffer"], *numbers[2:])
            # Without dampening the first direction is what zeros lead to anyway: one program serves every step.
            attributes = (
                group["weight_decay"] != 0,
                bool(group["nesterov"]),
                bool(group["maximize"]),
                first and dampening,
            )
            moved = record(ops.sgd_update, (p, p.grad, *numbers[:2], *kept), attributes)
            for target, value in zip((p, *kept[:1]), moved, strict=True):
                write(target, value)
