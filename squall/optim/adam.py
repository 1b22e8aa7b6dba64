"""Adam and AdamW: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import squall as sq
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


class Adam(Optimizer):
    """p -= lr * m / (sqrt(v) + eps), with m and v the running means of the gradient and its square.

    Both means are corrected for having started at zero.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: learning rate. betas: how much of the running
        means is kept. eps: added to the root. weight_decay: added gradient of weight_decay / 2 * p^2, or with
            decoupled_weight_decay a shrinking of p by lr * weight_decay. amsgrad: divide by the largest mean
            square so far. maximize: go up.
        foreach, capturable, fused: accepted as in PyTorch; every step is compiled as a whole anyway.

    Raises:
        ValueError: for negative numbers, or betas outside [0, 1).

    Example:
        >>> import squall as sq
        >>> p = sq.nn.Parameter(sq.ones(1))
        >>> optimizer = sq.optim.Adam([p], lr=0.1)
        >>> p.sum().backward()
        >>> optimizer.step()
        >>> round(p.item(), 4)
        0.9
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_not_differentiable(differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def _check_options(self, group: dict[str, Any]) -> None:
        check_at_least_zero(
            learning_rate=group["lr"], epsilon_value=group["eps"], weight_decay_value=group["weight_decay"]
        )
        for position, beta in enumerate(group["betas"]):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {position}: {beta}")

    def _counted(self, group: dict[str, Any], parameters: list[Any]) -> list[tuple[Any, list[Any]]]:
        """Count a step; gives (step, parameters that have taken so many) pairs.

        Parameters that began together share one step Tensor, written in place; who gets no gradient parts
        from the rest.
        """
        holders: dict[int, int] = {}
        started = None
        for p in group["params"]:
            state = self.state.get(p)
            if state:
                holders[id(state["step"])] = holders.get(id(state["step"]), 0) + 1
        members: dict[int, tuple[Any, list[Any]]] = {}
        for p in parameters:
            state = self.state[p]
            if not state:
                self._restructured()
                started = sq.tensor(0.0, dtype=sq.float32) if started is None else started
                self._start(state, p, group, started)
                holders[id(started)] = holders.get(id(started), 0) + 1
            members.setdefault(id(state["step"]), (state["step"], []))[1].append(p)
        out = []
        for key, (step, joint) in members.items():
            if holders[key] == len(joint):
                step.add_(1)
            else:
                step = step + 1
                self._restructured()
                for p in joint:
                    self.state[p]["step"] = step
            out.append((step, joint))
        return out

    @staticmethod
    def _start(state: dict[str, Any], p: Any, group: dict[str, Any], step: Any) -> None:
        state["step"] = step
        state["exp_avg"], state["exp_avg_sq"] = zeros_for(p), zeros_for(p)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_for(p)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As `Optimizer.load_state_dict`; equal step counts become one again."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            shared: dict[float, Any] = {}
            for p in group["params"]:
                if self.state.get(p):
                    step = self.state[p]["step"]
                    step = step if isinstance(step, sq.Tensor) else sq.tensor(float(step))
                    self.state[p]["step"] = shared.setdefault(float(step.item()), step)
        self._restructured()

    def _update_group(self, group: dict[str, Any], parameters: list[Any]) -> None:
        beta1, beta2 = (precise(beta) for beta in group["betas"])
        lr, eps, decay = (precise(number(group, name)) for name in ("lr", "eps", "weight_decay"))
        attributes = (
            group["weight_decay"] != 0,
            bool(group["decoupled_weight_decay"]),
            bool(group["maximize"]),
        )
        for step, members in self._counted(group, parameters):
            numbers = (step.to(sq.float64), lr, beta1, beta2, eps, decay)
            for p in members:
                state = self.state[p]
                targets = (p, state["exp_avg"], state["exp_avg_sq"])
                if group["amsgrad"]:
                    self._largest_so_far(p, state, group, numbers)
                    continue
                moved = record(ops.adam_update, (p, p.grad, *targets[1:], *numbers), attributes)
                for target, value in zip(targets, moved, strict=True):
                    write(target, value)

    @staticmethod
    def _largest_so_far(p: Any, state: dict[str, Any], group: dict[str, Any], numbers: tuple) -> None:
        """The amsgrad variant, in ordinary ops."""
        step, lr, beta1, beta2, eps, decay = numbers
        g = -p.grad if group["maximize"] else p.grad
        if group["weight_decay"] != 0 and group["decoupled_weight_decay"]:
            p.mul_((1 - lr * decay).to(p.dtype))
        elif group["weight_decay"] != 0:
            g = g + p * decay.to(p.dtype)
        m, v, largest = state["exp_avg"], state["exp_avg_sq"], state["max_exp_avg_sq"]
        m.add_((g - m) * (1 - beta1).to(p.dtype))
        v.copy_(v * beta2.to(p.dtype) + g * g * (1 - beta2).to(p.dtype))
        largest.copy_(sq.maximum(largest, v))
        below = largest.sqrt() / (1 - beta2**step).sqrt().to(p.dtype) + eps.to(p.dtype)
        p.sub_(m * (lr / (1 - beta1**step)).to(p.dtype) / below)


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters by lr * weight_decay instead of adding to the gradient;
    arguments as `Adam`, with weight_decay=0.01."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
