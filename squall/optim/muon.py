"""Muon: momentum whose direction is made nearly orthogonal, for weight matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import squall as sq
from squall.base.epoch import number
from squall.optim.optimizer import Optimizer, check_at_least_zero, precise, zeros_for


class Muon(Optimizer):
    """p -= lr * o, where o is the momentum with its singular values brought near 1 by a few matrix products.

    Args:
        params: Tensors of 2 dimensions, (name, Tensor) pairs, or groups. lr: learning rate. weight_decay: shrinks
            parameters by lr * weight_decay. momentum: how much of the running mean of gradients is kept.
            nesterov: look ahead along the momentum. ns_coefficients: of the polynomial that is iterated. eps: the
            least norm. ns_steps: how often. adjust_lr_fn: "original" (or None) scales lr by
            sqrt(max(1, rows / columns)), "match_rms_adamw" by 0.2 * sqrt(max(rows, columns)).

    Raises:
        ValueError: for parameters of other than 2 dimensions, or options out of range.

    Example:
        >>> import squall as sq
        >>> p = sq.nn.Parameter(sq.eye(2))
        >>> optimizer = sq.optim.Muon([p], lr=0.1, weight_decay=0.0)
        >>> (p * p).sum().backward()
        >>> optimizer.step()
        >>> 0.85 < p[0, 0].item() < 0.95
        True
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": tuple(ns_coefficients), "eps": eps, "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_at_least_zero(
            learning_rate=group["lr"], momentum_value=group["momentum"], weight_decay_value=group["weight_decay"]
        )
        if group["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {group['adjust_lr_fn']} is not supported")
        if not 0 <= group["ns_steps"] < 100:
            raise ValueError(f"Muon: ns_steps={group['ns_steps']} must be at least 0 and less than 100")
        for p in group["params"]:
            if p.dim() != 2:
                raise ValueError(f"Muon only supports 2D parameters whereas we found a parameter with size: {p.shape}")

    def _update_group(self, group: dict[str, Any], parameters: list[Any]) -> None:
        lr, decay, momentum = (precise(number(group, name)) for name in ("lr", "weight_decay", "momentum"))
        for p in parameters:
            state, g = self.state[p], p.grad
            if not state:
                self._restructured()
                state["momentum_buffer"] = zeros_for(p)
            buffer = state["momentum_buffer"]
            buffer.add_((g - buffer) * (1 - momentum).to(p.dtype))
            direction = g + (buffer - g) * momentum.to(p.dtype) if group["nesterov"] else buffer
            direction = orthogonalized(direction, group["ns_coefficients"], group["ns_steps"], group["eps"])
            p.mul_((1 - lr * decay).to(p.dtype))
            p.sub_(direction.to(p.dtype) * (lr * _rate(group["adjust_lr_fn"], p.shape)).to(p.dtype))


def orthogonalized(
    matrix: Any, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Any:
    """A matrix with the same singular vectors and singular values near 1, in bfloat16.

    Args:
        matrix: shape (rows, columns). coefficients: a, b, c of a x + b x^3 + c x^5, which is iterated on the singular
            values. steps: how often. eps: the least norm.
    """
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.to(sq.bfloat16)
    x = x.t() if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.t()
        x = sq.addmm(x, sq.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x


def _rate(adjust: str | None, shape: Any) -> float:
    """What the learning rate is multiplied by for a matrix of this shape."""
    rows, columns = shape[:2]
    if adjust == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns))
