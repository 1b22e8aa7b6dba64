"""Parameter groups: dictionaries of hyper-parameters that compiled functions may depend on.

A number such as the learning rate may vary from step to step; it is read through `squall.base.epoch.number`.
What decides which ops a step records (whether there is momentum, which form of the rule) is structure:
changing it moves the epoch, and compiled functions are captured again.
"""

from __future__ import annotations

from typing import Any

from squall.base import epoch


def structure(value: Any) -> Any:
    """The part of an option's value that decides which ops are recorded."""
    if isinstance(value, tuple):
        return tuple(map(structure, value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return float, value == 0


def same(a: Any, b: Any) -> bool:
    """Whether two option values lead to the same ops; never compares Tensors element by element."""
    a, b = structure(a), structure(b)
    if a is b:
        return True
    plain = (bool, int, float, str, tuple, type(None))
    return type(a) is type(b) and isinstance(a, plain) and a == b


class ParamGroup(dict):
    """A parameter group. It is an ordinary dictionary that says when its structure changes.

    Example:
        >>> group = ParamGroup(lr=0.1, momentum=0.0)
        >>> before = epoch.structure
        >>> group["lr"] = 0.01              # a number that varies
        >>> epoch.structure == before
        True
        >>> group["momentum"] = 0.9         # momentum where there was none
        >>> epoch.structure == before
        False
    """

    def __missing__(self, key: Any) -> Any:
        """`group["betas", 0]`: one number of an option that has several."""
        if isinstance(key, tuple) and len(key) == 2:
            return self[key[0]][key[1]]
        raise KeyError(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self or not same(self[key], value):
            epoch.bump()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        epoch.bump()
        super().__delitem__(key)

    def update(self, *others: Any, **values: Any) -> None:
        """Set several options."""
        for key, value in dict(*others, **values).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The option, set to the default when it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, *default: Any) -> Any:
        """Remove and return an option."""
        if key in self:
            epoch.bump()
        return super().pop(key, *default)

    def __ior__(self, other: Any) -> ParamGroup:
        self.update(other)
        return self
