"""The base of layers whose `repr` is a list of their options."""

from __future__ import annotations

from typing import Any

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


def factory_kwargs(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """The arguments of a layer that its Tensors are made with: device, dtype and memory_format.

    Args:
        kwargs: the layer's keywords: these three, and `factory_kwargs`, a dictionary of them.

    Returns:
        dict: the three, those of `factory_kwargs` included.

    Raises:
        TypeError: for another keyword, or one that is given twice.

    Example:
        >>> import squall as sq
        >>> sq.nn.factory_kwargs({"dtype": sq.float64, "factory_kwargs": {"device": "cpu"}})
        {'device': 'cpu', 'dtype': squall.float64}
    """
    given = dict(kwargs or {})
    found = dict(given.pop("factory_kwargs", {}))
    unknown = set(given) - {"device", "dtype", "memory_format"}
    if unknown:
        raise TypeError(f"factory_kwargs: unexpected keywords {sorted(unknown)}")
    twice = set(given) & set(found)
    if twice:
        raise TypeError(f"factory_kwargs: {sorted(twice)} specified twice, also in factory_kwargs")
    return found | given
