"""Functions that make Tensors take PyTorch's other keywords: `out`, `layout`, `pin_memory`. Signatures say so."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any

from squall.base.errors import DeviceError
from squall.base.formats import check_format
from squall.frontend.out import into

_DEFAULTS = {"out": None, "layout": None, "pin_memory": False}
_WRITE_OUT = frozenset((
    "arange", "empty", "eye", "full", "linspace", "logspace", "normal", "ones", "rand", "randint", "randn", "randperm",
    "range", "zeros",
))  # fmt: skip


def extended(run: Callable, function: Callable, *keywords: str) -> Callable[..., Any]:
    """The wrapper `run` with the signature of what it wraps and keywords of its own, for `help` and the reference."""
    known = signature(function)
    own = list(known.parameters.values())
    rest = [p for p in own if p.kind is Parameter.VAR_KEYWORD]
    added = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=_DEFAULTS[name],
                  annotation="bool" if name == "pin_memory" else "Any")
        for name in keywords if name not in known.parameters
    ]  # fmt: skip
    shown = known.replace(parameters=[p for p in own if p not in rest] + added + rest)
    run.__signature__ = shown  # type: ignore[attr-defined]  # what `inspect` looks at
    return run


def factory(function: Callable) -> Callable[..., Any]:
    """A function that makes Tensors, with PyTorch's other keywords.

    `out` is written to and says the dtype unless one is given, `layout` may only be strided, and `pin_memory` False, as
    there is no device that would profit.
    """
    name, own = function.__name__, signature(function).parameters
    added = [key for key in _DEFAULTS if key not in own and (key != "out" or name in _WRITE_OUT)]
    without = set(_DEFAULTS) - set(added)

    @wraps(function)
    def run(*args: Any, **keywords: Any) -> Any:
        if not keywords or keywords.keys().isdisjoint(_DEFAULTS) or keywords.keys() & _DEFAULTS.keys() <= without:
            return function(*args, **keywords)
        if "pin_memory" in added and keywords.pop("pin_memory", False):
            raise DeviceError(f"{name}: pin_memory=True needs a device beside the CPU; this build has 'cpu'")
        if "layout" in added:
            check_format(None, keywords.pop("layout", None), name)
        out = keywords.pop("out", None) if "out" in added else None
        if out is None:
            return function(*args, **keywords)
        if keywords.get("dtype") is None:
            keywords["dtype"] = out.dtype
        return into(out, function(*args, **keywords), name)

    return extended(run, function, *added)
