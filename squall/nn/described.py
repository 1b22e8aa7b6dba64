"""The base of layers whose `repr` is a list of their options."""

from __future__ import annotations

from squall.nn.module import Module


class Described(Module):
    """A layer whose `repr` lists the attributes named in `shown`.

    Example:
        >>> class Twice(Described):
        ...     shown = ("factor",)
        ...     factor = 2.0
        >>> Twice()
        Twice(factor=2.0)
    """

    shown: tuple[str, ...] = ()

    def extra_repr(self) -> str:
        """The options, by name."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.shown)
