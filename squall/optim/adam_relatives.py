"""Relatives of Adam: Adamax, NAdam, RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import squall as sq
from squall.base.epoch import number
from squall.optim.adam import ADAM_NUMBERS
from squall.optim.optimizer import check_at_least_zero, check_not_differentiable, precise
from squall.optim.rule import Rule, check_betas, decay_flags


class _Moments(Rule):
    """What the rules share: two running means and the checks of their options."""

    numbers = ADAM_NUMBERS

    def _check_options(self, group: dict[str, Any]) -> None:
        check_at_least_zero(
            learning_rate=group["lr"], epsilon_value=group["eps"], weight_decay_value=group["weight_decay"]
        )
        check_betas(group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _flags(self, group: dict[str, Any]) -> dict[str, bool]:
        return {**decay_flags(group), "decoupled": bool(group["decoupled_weight_decay"])}


class Adamax(_Moments):
    """Adam by the largest decayed |gradient| instead of the mean square.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: learning rate. betas: how much of the mean and of
            the largest is kept. eps: added to |gradient|. weight_decay: added gradient of
            weight_decay / 2 * p^2. maximize: go up. foreach, capturable: accepted as in PyTorch.
    """

    update = "adamax_update"

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_not_differentiable(differentiable)
        defaults = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _flags(self, group: dict[str, Any]) -> dict[str, bool]:
        return decay_flags(group)


class NAdam(_Moments):
    """Adam with Nesterov momentum.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: learning rate. betas: how much of the running means
            is kept. eps: added to the root. weight_decay: as for `Adam`. momentum_decay: how the momentum grows
            with the steps. decoupled_weight_decay: shrink parameters instead of adding to the gradient.
            maximize: go up. foreach, capturable: accepted as in PyTorch.
    """

    update = "nadam_update"
    numbers = (*ADAM_NUMBERS, "mu", "mu_next", "mu_product")
    counts = {"step": 0.0, "mu_product": 1.0}

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_differentiable(differentiable)
        defaults = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        super()._check_options(group)
        check_at_least_zero(momentum_decay_value=group["momentum_decay"])

    def _advance(self, group: dict[str, Any], counts: dict[str, Any]) -> dict[str, Any]:
        step = counts["step"].add_(1).to(sq.float64)
        beta, decay = precise(number(group, ("betas", 0))), precise(number(group, "momentum_decay"))
        mu = beta * (1 - 0.5 * 0.96 ** (step * decay))
        following = beta * (1 - 0.5 * 0.96 ** ((step + 1) * decay))
        counts["mu_product"].mul_(mu.to(sq.float32))
        return {"mu": mu, "mu_next": following}


class RAdam(_Moments):
    """Adam once the variance of its step is known well enough, and momentum before.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: learning rate. betas: how much of the running means
            is kept. eps: added to the root. weight_decay: as for `Adam`. decoupled_weight_decay: shrink
            parameters instead of adding to the gradient. maximize: go up. foreach, capturable: accepted as in
            PyTorch.
    """

    update = "radam_update"

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_differentiable(differentiable)
        defaults = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)
