"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from squall.optim.optimizer import check_at_least_zero, check_not_differentiable
from squall.optim.rule import Rule, decay_flags


class SGD(Rule):
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

    update = "sgd_update"
    numbers = ("lr", "weight_decay", "momentum", "dampening")
    counts: dict[str, float] = {}

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

    def _advance(self, group: dict[str, Any], counts: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def _flags(self, group: dict[str, Any]) -> dict[str, bool]:
        return {**decay_flags(group), "momentum": group["momentum"] != 0, "nesterov": bool(group["nesterov"])}

    def _update_group(self, group: dict[str, Any], parameters: list[Any]) -> None:
        if group["momentum"] == 0 or group["dampening"] == 0:
            # Without dampening the first direction is what zeros lead to anyway: one program serves every step.
            return super()._update_group(group, parameters)
        fresh = [p for p in parameters if self.state[p].get("momentum_buffer") is None]
        begun = {id(p) for p in fresh}
        names, flags = self._state_names(group), self._flags(group)
        for members, first in ((fresh, True), ([p for p in parameters if id(p) not in begun], False)):
            if members:
                self._joint(group, members)
                numbers = [self._number(group, {}, name) for name in self.numbers]
                self._record(members, names, numbers, {**flags, "first": first})
        return None
