"""Attributes of one module that are computed when read: the module gets a class of its own with properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base import epoch


class Computed:
    """Mixed into the class of a module that has computed attributes.

    Attributes:
        computed: by attribute, (how it is read, how it is written or None). plain: the class before.
    """

    computed: dict[str, tuple[Callable, Callable | None]]
    plain: type

    def __getattribute__(self, name: str) -> Any:
        found = type(self).computed.get(name)
        return found[0](self) if found is not None else super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        found = type(self).computed.get(name)
        if found is None:
            super().__setattr__(name, value)
        elif found[1] is None:
            raise AttributeError(f"'{name}' is computed from other parameters and cannot be assigned")
        else:
            found[1](self, value)


def compute(module: Any, name: str, read: Callable, write: Callable | None = None, prefix: str = "") -> None:
    """Make an attribute of a module one that is computed: `read(module)`, and `write(module, value)` if given."""
    kind = type(module)
    before = kind.computed if issubclass(kind, Computed) else {}
    _become(module, {**before, name: (read, write)}, prefix)


def stop_computing(module: Any, name: str) -> None:
    """Make it an ordinary attribute again; the last one gives the module its own class back."""
    kind = type(module)
    _become(module, {key: value for key, value in kind.computed.items() if key != name}, "")


def plain_type(module: Any) -> type:
    """The class that a module has when nothing of it is computed."""
    kind: Any = type(module)
    return kind.plain if issubclass(kind, Computed) else kind


def _become(module: Any, computed: dict[str, tuple[Callable, Callable | None]], prefix: str) -> None:
    """Give a module a class with these computed attributes; copies of the module keep theirs."""
    kind, plain = type(module), plain_type(module)
    own = plain
    if computed:
        name = kind.__name__ if kind is not plain else prefix + plain.__name__
        own = type(name, (Computed, plain), {"computed": computed, "plain": plain})
        own.__module__ = plain.__module__
    object.__setattr__(module, "__class__", own)
    epoch.bump()
