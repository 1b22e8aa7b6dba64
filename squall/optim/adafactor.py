"""Adafactor: second moments kept as a row and a column instead of a matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import squall as sq
from squall.base.epoch import number
from squall.optim.optimizer import check_at_least_zero, precise, zeros_for
from squall.optim.rule import Rule


class Adafactor(Rule):
    """Adam without momentum whose second moments of matrices are a product of means of rows and of columns.

    Args:
        params: Tensors, (name, Tensor) pairs, or groups. lr: the largest relative step. beta2_decay: exponent of the
            steps that says how fast old gradients are forgotten. eps: the least second moment (the dtype's eps for
            None) and the least scale of a parameter. d: steps are limited to this root mean square. weight_decay:
            shrinks parameters by lr * weight_decay. foreach: accepted as in PyTorch. maximize: go up.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": tuple(eps), "d": d, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_at_least_zero(learning_rate=group["lr"], weight_decay_value=group["weight_decay"])
        if group["beta2_decay"] > 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {group['beta2_decay']}")
        if group["d"] < 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {group['d']}")
        if (group["eps"][0] is not None and group["eps"][0] < 0) or group["eps"][1] < 0:
            raise ValueError(f"epsilons should be >= 0 but are: {group['eps']}")

    def _complete(self, p: Any, group: dict[str, Any], started: dict[str, Any]) -> dict[str, Any]:
        state = self.state[p]
        if not state:
            self._restructured()
            state.update(started)
            if p.dim() > 1:
                state["row_var"], state["col_var"] = zeros_for(p[..., :1]), zeros_for(p[..., :1, :])
            else:
                state["variance"] = zeros_for(p)
        return state

    def _update_group(self, group: dict[str, Any], parameters: list[Any]) -> None:
        lr, decay = precise(number(group, "lr")), precise(number(group, "weight_decay"))
        for counts, members in self._joint(group, parameters):
            self._advance(group, counts)
            step = counts["step"].to(sq.float64)
            forgotten, rate = step ** group["beta2_decay"], sq.minimum(lr, 1 / step.sqrt())
            for p in members:
                size = p.norm().to(sq.float64) / p.numel() ** 0.5
                alpha = size.clamp(min=group["eps"][1]) * rate
                if group["weight_decay"] != 0:
                    p.mul_((1 - lr * decay).to(p.dtype))
                least = sq.finfo(p.dtype).eps if group["eps"][0] is None else group["eps"][0]
                g = -p.grad if group["maximize"] else p.grad
                update = self._variance(self.state[p], g, forgotten.to(p.dtype), least)
                update = update.clamp(min=least * least).rsqrt() * g
                limit = (update.norm().to(sq.float64) / (p.numel() ** 0.5 * group["d"])).clamp(min=1.0)
                p.sub_(update * (alpha / limit).to(p.dtype))

    @staticmethod
    def _variance(state: dict[str, Any], g: Any, forgotten: Any, least: float) -> Any:
        """The second moments after this gradient."""
        squares = g * g
        if "variance" in state:
            variance = state["variance"]
            return variance.add_((squares - variance) * forgotten)
        rows, columns = state["row_var"], state["col_var"]
        rows.add_((squares.mean(-1, keepdim=True) - rows) * forgotten)
        columns.add_((squares.mean(-2, keepdim=True) - columns) * forgotten)
        return (rows @ columns) / rows.mean(-2, keepdim=True).clamp(min=least)

    def _adopt(self, parameter: Any, name: str, value: Any) -> Any:
        if name in ("row_var", "col_var"):
            return value.detach().to(parameter.dtype).clone()
        return super()._adopt(parameter, name, value)
