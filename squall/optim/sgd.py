"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import squall as sq
from squall.base.epoch import number
from squall.optim.optimizer import Optimizer, check_at_least_zero, check_not_differentiable


class SGD(Optimizer):
    """p -= lr * d, where d is the gradient plus weight_decay * p, gathered with momentum.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: learning rate. momentum: how much of the past direction is
            kept. dampening: how much of the new one is left out. weight_decay: added gradient of weight_decay / 2 * p^2.
        nesterov: look ahead along the momentum. maximize: go up instead of down. foreach, fused: accepted as in PyTorch;
            every step is compiled as a whole anyway.

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

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0,
                 nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None, differentiable: bool = False,
                 fused: bool | None = None) -> None:
        check_not_differentiable(differentiable)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused})

    def _check_options(self, group: dict[str, Any]) -> None:
        check_at_least_zero(learning_rate=group["lr"], momentum_value=group["momentum"], weight_decay_value=group["weight_decay"])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def _update_group(self, group: dict[str, Any], parameters: list[Any]) -> None:
        lr, decay = number(group, "lr"), number(group, "weight_decay")
        momentum, taken = number(group, "momentum"), 1 - number(group, "dampening")
        for p in parameters:
            d = -p.grad if group["maximize"] else p.grad
            if group["weight_decay"] != 0:
                d = d + p * decay
            if group["momentum"] != 0:
                state = self.state[p]
                buffer = state.get("momentum_buffer")
                if buffer is None:
                    buffer = state["momentum_buffer"] = d.detach().clone()
                else:
                    buffer.mul_(momentum).add_(d * taken)
                d = d + buffer * momentum if group["nesterov"] else buffer
            p.sub_(d * lr)
