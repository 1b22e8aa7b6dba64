"""Rules that scale each element's step by its past gradients: Adagrad, Adadelta, RMSprop, Rprop; and ASGD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import squall as sq
from squall.base.epoch import number
from squall.optim.optimizer import check_at_least_zero, check_not_differentiable, precise, zeros_for
from squall.optim.rule import Rule, decay_flags


class _Adaptive(Rule):
    """What the rules share: the flags of decay and direction."""

    def _flags(self, group: dict[str, Any]) -> dict[str, bool]:
        return decay_flags(group)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_at_least_zero(learning_rate=group["lr"], weight_decay_value=group["weight_decay"])
        if "eps" in group:
            check_at_least_zero(epsilon_value=group["eps"])


class Adagrad(_Adaptive):
    """Divides the step by the root of the sum of all squared gradients.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: learning rate. lr_decay: how it falls with the
            steps. weight_decay: added gradient of weight_decay / 2 * p^2. initial_accumulator_value: what the
            sum begins with. eps: added to the root. maximize: go up. foreach, fused: accepted as in PyTorch.
    """

    update = "adagrad_update"
    numbers = ("step", "lr", "lr_decay", "eps", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_not_differentiable(differentiable)
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:
            started = self._counts_at_start(group)
            for p in group["params"]:
                self._complete(p, group, started)

    def _check_options(self, group: dict[str, Any]) -> None:
        super()._check_options(group)
        check_at_least_zero(
            lr_decay_value=group["lr_decay"],
            initial_accumulator_value_value=group["initial_accumulator_value"],
        )

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def _begin(self, p: Any, group: dict[str, Any], name: str) -> Any:
        return _filled(p, group["initial_accumulator_value"])


def _filled(p: Any, value: float) -> Any:
    """A Tensor like a parameter that is there at once, all one value."""
    made = zeros_for(p)
    return made.fill_(float(value)) if value else made


class Adadelta(_Adaptive):
    """Scales the step by past steps over past gradients, so that it needs little tuning.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: factor of the step. rho: how much of the running
            means is kept. eps: added under the roots. weight_decay: added gradient of weight_decay / 2 * p^2.
            maximize: go up. foreach, capturable: accepted as in PyTorch.
    """

    update = "adadelta_update"
    numbers = ("lr", "rho", "eps", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_differentiable(differentiable)
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        super()._check_options(group)
        if not 0.0 <= group["rho"] <= 1.0:
            raise ValueError(f"Invalid rho value: {group['rho']}")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")


class RMSprop(_Adaptive):
    """Divides the step by the root of the running mean of squared gradients.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: learning rate. alpha: how much of the running mean
            is kept. eps: added to the root. weight_decay: added gradient of weight_decay / 2 * p^2. momentum:
            how much of past steps is kept. centered: divide by the standard deviation. maximize: go up.
            foreach, capturable: accepted as in PyTorch.

    Example:
        >>> import squall as sq
        >>> p = sq.nn.Parameter(sq.ones(1))
        >>> optimizer = sq.optim.RMSprop([p], lr=0.1)
        >>> p.sum().backward()
        >>> optimizer.step()
        >>> round(p.item(), 4)
        0.0
    """

    update = "rmsprop_update"
    numbers = ("lr", "alpha", "eps", "weight_decay", "momentum")

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_differentiable(differentiable)
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        super()._check_options(group)
        check_at_least_zero(momentum_value=group["momentum"], alpha_value=group["alpha"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        optional = ("grad_avg", group["centered"]), ("momentum_buffer", group["momentum"] > 0)
        return ("square_avg", *[name for name, wanted in optional if wanted])

    def _flags(self, group: dict[str, Any]) -> dict[str, bool]:
        return {**decay_flags(group), "centered": bool(group["centered"]), "momentum": group["momentum"] > 0}


class Rprop(Rule):
    """Steps by the sign of the gradient, farther where it stays and less far where it turns; for whole batches.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: the first step. etas: factors where the sign turns and
            where it stays. step_sizes: the least and the largest step. maximize: go up. foreach, capturable:
            accepted as in PyTorch.
    """

    update = "rprop_update"
    numbers = (("etas", 0), ("etas", 1), ("step_sizes", 0), ("step_sizes", 1))

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_differentiable(differentiable)
        defaults = {
            "lr": lr, "etas": tuple(etas), "step_sizes": tuple(step_sizes), "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_at_least_zero(learning_rate=group["lr"])
        slower, faster = group["etas"]
        if not 0.0 < slower < 1.0 < faster:
            raise ValueError(f"Invalid eta values: {slower}, {faster}")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("prev", "step_size")

    def _begin(self, p: Any, group: dict[str, Any], name: str) -> Any:
        return zeros_for(p) if name == "prev" else _filled(p, group["lr"])

    def _flags(self, group: dict[str, Any]) -> dict[str, bool]:
        return {"maximize": bool(group["maximize"])}


class ASGD(_Adaptive):
    """Gradient descent that also averages the parameters, in `state[p]["ax"]`.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: learning rate at first. lambd, alpha: how it falls.
            t0: the step at which averaging begins. weight_decay: added gradient of weight_decay / 2 * p^2.
            maximize: go up. foreach, capturable: accepted as in PyTorch.
    """

    update = "asgd_update"
    numbers = ("eta", "mu", "lambd", "weight_decay")
    counts = {"step": 0.0, "eta": 0.0, "mu": 1.0}

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_not_differentiable(differentiable)
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("ax",)

    def _counts_at_start(self, group: dict[str, Any]) -> dict[str, Any]:
        lr = group["lr"]
        eta = float(lr.item() if isinstance(lr, sq.Tensor) else lr)
        return {**super()._counts_at_start(group), "eta": sq.tensor(eta, dtype=sq.float32)}

    def _advance(self, group: dict[str, Any], counts: dict[str, Any]) -> dict[str, Any]:
        # This step is taken with the rates that the last one left; what it leaves is for the next.
        now = {"eta": counts["eta"].to(sq.float64), "mu": counts["mu"].to(sq.float64)}
        step = counts["step"].add_(1).to(sq.float64)
        lr, lambd, alpha, start = (precise(number(group, name)) for name in ("lr", "lambd", "alpha", "t0"))
        counts["eta"].copy_((lr / (1 + lambd * lr * step) ** alpha).to(sq.float32))
        counts["mu"].copy_((1 / (step - start).clamp(min=1.0)).to(sq.float32))
        return now
