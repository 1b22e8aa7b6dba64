"""Adam and AdamW: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from squall.optim.optimizer import check_at_least_zero, check_not_differentiable
from squall.optim.rule import Rule, check_betas, decay_flags

ADAM_NUMBERS = ("step", "lr", ("betas", 0), ("betas", 1), "eps", "weight_decay")


class Adam(Rule):
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

    update = "adam_update"
    numbers = ADAM_NUMBERS

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
        check_betas(group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else []))

    def _flags(self, group: dict[str, Any]) -> dict[str, bool]:
        decoupled = bool(group["decoupled_weight_decay"])
        return {**decay_flags(group), "decoupled": decoupled, "amsgrad": bool(group["amsgrad"])}


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
