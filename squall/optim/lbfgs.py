"""L-BFGS: Newton steps by a history of gradients, for whole batches; the loss is asked for again within a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import squall as sq
from squall.optim.line_search import Point, strong_wolfe
from squall.optim.optimizer import Optimizer


class LBFGS(Optimizer):
    """Steps along an approximate Newton direction, built from the last gradients.

    Args:
        params: Tensors; one group only. lr: length of a step without line search. max_iter: directions a step.
            max_eval: evaluations a step; 1.25 * max_iter by default. tolerance_grad, tolerance_change: where
            a step ends early. history_size: how many gradients are remembered. line_search_fn: None or "strong_wolfe".

    Raises:
        ValueError: for several groups. RuntimeError: for another line search.

    Example:
        >>> import squall as sq
        >>> p = sq.nn.Parameter(sq.zeros(2))
        >>> optimizer = LBFGS([p], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = ((p - 3) ** 2).sum()
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure).item(), [round(v, 3) for v in p.tolist()]
        (18.0, [3.0, 3.0])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
            "history_size": history_size, "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def _adopt(self, parameter: Any, name: str, value: Any) -> Any:
        """A loaded state value: vectors of all parameters together, and lists of them."""
        if isinstance(value, list):
            return [self._adopt(parameter, name, item) for item in value]
        return value.detach().clone() if isinstance(value, sq.Tensor) else value

    def _gradient(self) -> Any:
        """All gradients as one vector."""
        return sq.cat([
            sq.zeros(p.numel(), dtype=p.dtype) if p.grad is None else p.grad.reshape(-1)
            for p in self.param_groups[0]["params"]
        ]).detach()

    def _move(self, starts: list[Any], step: float, direction: Any) -> None:
        """Parameters at a place along a direction."""
        at = 0
        for p, start in zip(self.param_groups[0]["params"], starts, strict=True):
            p.copy_(start + direction[at : at + p.numel()].view(p.shape) * step)
            at += p.numel()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take up to max_iter steps.

        Args:
            closure: computes the loss and the gradients anew.

        Returns:
            The loss before.
        """
        if closure is None:
            raise ValueError("LBFGS.step needs a closure that computes the loss and its gradients")
        with sq.no_grad():
            return self._steps(sq.enable_grad()(closure))

    def _steps(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = closure()
        loss, gradient, evaluations = float(first), self._gradient(), 1
        state["func_evals"] += 1
        if float(gradient.abs().max()) <= group["tolerance_grad"]:
            return first
        for turn in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(state, gradient, group["history_size"])
            before = loss
            state["prev_flat_grad"], state["prev_loss"] = gradient, loss
            state["d"], state["t"] = direction, self._length(state, gradient, group)
            slope = float((gradient * direction).sum())
            if slope > -group["tolerance_change"]:
                break
            last = turn == group["max_iter"]
            loss, gradient, used = self._take(closure, state, (loss, gradient, slope), evaluations, last)
            evaluations += used
            state["func_evals"] += used
            moved = float((direction * state["t"]).abs().max())
            if (
                last
                or evaluations >= group["max_eval"]
                or float(gradient.abs().max()) <= group["tolerance_grad"]
                or moved <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                break
        return first

    @staticmethod
    def _length(state: dict[str, Any], gradient: Any, group: dict[str, Any]) -> float:
        """How far to go at first."""
        lr = float(group["lr"])
        return min(1.0, 1.0 / float(gradient.abs().sum())) * lr if state["n_iter"] == 1 else lr

    @staticmethod
    def _direction(state: dict[str, Any], gradient: Any, most: int) -> Any:
        """The approximate Newton direction, by the two loops over the history."""
        if state["n_iter"] == 1:
            state["old_dirs"], state["old_stps"], state["ro"], state["H_diag"] = [], [], [], 1.0
            return -gradient
        change, moved = gradient - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = float((change * moved).sum())
        if curvature > 1e-10:
            if len(state["old_dirs"]) == most:
                for name in ("old_dirs", "old_stps", "ro"):
                    state[name].pop(0)
            state["old_dirs"].append(change)
            state["old_stps"].append(moved)
            state["ro"].append(1.0 / curvature)
            state["H_diag"] = curvature / float((change * change).sum())
        history = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        q, weights = -gradient, []
        for y, s, ro in reversed(history):
            weights.append((s * q).sum() * ro)
            q = q - y * weights[-1]
        state["al"] = [*reversed(weights), *[None] * (most - len(weights))]
        q = q * state["H_diag"]
        for (y, s, ro), weight in zip(history, reversed(weights), strict=True):
            q = q + s * (weight - (y * q).sum() * ro)
        return q

    def _take(
        self, closure: Callable, state: dict[str, Any], here: tuple[float, Any, float], evaluations: int,
        last: bool,
    ) -> tuple[float, Any, int]:
        """Go along the direction; gives loss, gradient and how many evaluations it took."""
        group, direction = self.param_groups[0], state["d"]
        starts = [p.detach().clone() for p in group["params"]]
        if group["line_search_fn"] is None:
            self._move(starts, state["t"], direction)
            if last:  # in a stochastic setting this loss would be of another batch
                return here[0], here[1], 0
            return float(closure()), self._gradient(), 1
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")

        def evaluate(step: float) -> Point:
            self._move(starts, step, direction)
            loss, gradient = float(closure()), self._gradient()
            return Point(step, loss, gradient, float((gradient * direction).sum()))

        size = float(direction.abs().max())
        found, used = strong_wolfe(
            evaluate, Point(0.0, *here), state["t"], size, most=group["max_eval"] - evaluations
        )
        self._move(starts, found.step, direction)
        state["t"] = found.step
        return found.loss, found.gradient, used
