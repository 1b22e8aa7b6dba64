"""GradScaler: losses are scaled before backward so that float16 gradients do not vanish, and gradients scaled back."""

from __future__ import annotations

from typing import Any

from squall.base.errors import ArgumentError
from squall.base.pytree import map_leaves
from squall.frontend.core import Handle
from squall.frontend.creation import tensor
from squall.frontend.state import no_grad


class GradScaler:
    """Scales losses and unscales gradients, and skips steps whose gradients are not finite.

    Args:
        device: "cpu". init_scale: what losses are multiplied by at first. growth_factor, growth_interval: after so many
            steps without inf or nan the scale is multiplied by this. backoff_factor: after a step with inf or nan the
            scale is multiplied by this. enabled: False makes every method do nothing but call the optimizer.

    Raises:
        ArgumentError: for a growth factor of at most 1 or a backoff factor of at least 1.

    Example:
        >>> import squall as sq
        >>> layer = sq.nn.Linear(2, 1)
        >>> optimizer, scaler = sq.optim.SGD(layer.parameters(), lr=0.1), sq.amp.GradScaler("cpu")
        >>> loss = layer(sq.ones(1, 2)).sum()
        >>> scaler.scale(loss).backward()
        >>> scaler.step(optimizer)
        >>> scaler.update()
        >>> scaler.get_scale()
        65536.0
    """

    def __init__(
        self, device: str = "cpu", init_scale: float = 65536.0, growth_factor: float = 2.0,
        backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True,
    ):  # fmt: skip
        if str(device) != "cpu":
            raise ArgumentError(f"GradScaler: device {device!r} is not available; use 'cpu'")
        if enabled and not (growth_factor > 1.0 > backoff_factor):
            raise ArgumentError(
                "GradScaler: growth_factor must be above 1 and backoff_factor below it, got "
                f"{growth_factor} and {backoff_factor}"
            )
        self._enabled = bool(enabled)
        self._scale = float(init_scale)
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        self._factor: Any = None  # the scale as a Tensor, so that another one makes no other program
        self._found: dict[int, tuple[Any, Any, bool]] = {}  # (optimizer, whether inf or nan, stepped) by its id

    # ------------------------------------------------------------ a step
    def scale(self, outputs: Any) -> Any:
        """A Tensor, or nested containers of Tensors, times the scale; unchanged when not enabled."""
        if not self._enabled:
            return outputs
        if self._factor is None:
            self._factor = tensor(self._scale)
        return map_leaves(lambda x: x * self._factor if isinstance(x, Handle) else x, outputs)

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale; `step` does it unless this was called.

        Raises:
            RuntimeError: when called twice between two calls of `update`, or after `step`.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._found:
            stepped = self._found[id(optimizer)][2]
            raise RuntimeError(
                "GradScaler: unscale_() is being called after step()."
                if stepped
                else "GradScaler: unscale_() has already been called on this optimizer since the last update()."
            )
        bad: Any = None
        with no_grad():
            for parameter in _parameters(optimizer):
                if parameter.grad is None:
                    continue
                grad = parameter.grad
                grad.mul_(1.0 / self._scale)
                found = grad.isfinite().all().logical_not()
                bad = found if bad is None else bad | found
        self._found[id(optimizer)] = (optimizer, bad, False)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Unscale the gradients unless that was done, and call `optimizer.step` if all of them are finite.

        Returns:
            What `optimizer.step` returns, or None when it was skipped.

        Raises:
            RuntimeError: when called twice between two calls of `update`, or with a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("GradScaler: step() takes no closure while it is enabled.")
        if id(optimizer) in self._found and self._found[id(optimizer)][2]:
            raise RuntimeError("GradScaler: step() has already been called since the last update().")
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        bad = self._found[id(optimizer)][1]
        if bad is None:
            raise AssertionError("GradScaler: step() found no gradients; was backward() called?")
        made = None if bool(bad) else optimizer.step(*args, **kwargs)
        self._found[id(optimizer)] = (optimizer, bad, True)
        return made

    def update(self, new_scale: Any = None) -> None:
        """Adapt the scale to what the steps since the last call found, or set it.

        Args:
            new_scale: a number or Tensor to take as the scale.

        Raises:
            AssertionError: when no step was made and no scale given.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        else:
            found = [bad for _, bad, _ in self._found.values() if bad is not None]
            if not found:
                raise AssertionError("GradScaler: update() found no step() since the last update()")
            if any(bool(bad) for bad in found):
                self._scale *= self._backoff_factor
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    self._scale *= self._growth_factor
                    self._growth_tracker = 0
        self._factor = None
        self._found = {}

    # ------------------------------------------------------------ settings
    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def get_scale(self) -> float:
        """What losses are multiplied by; 1.0 when not enabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by after `growth_interval` good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied by after `growth_interval` good steps."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after a step with inf or nan."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied by after a step with inf or nan."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps in a row make the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many good steps in a row make the scale grow."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """The scale and its settings, for checkpoints; empty when not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            RuntimeError: when it is empty, as that of a scaler that is not enabled.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("GradScaler: the state dict is empty: it is of a GradScaler that was not enabled.")
        self._scale, self._factor = float(state_dict["scale"]), None
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]


def _parameters(optimizer: Any) -> list:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
