"""Which elementwise ops are dear: those whose instructions include a long expansion, found by writing them once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from squall.compiler.spec import ELEMENT, Spec
from squall.ir.linear import F32, TRANSCENDENTAL, Builder
from squall.ir.op import op_named

_SHORT = frozenset(("rsqrt", "reciprocal", "round", "floordiv", "floormod"))
_LONG = 24  # instructions


@lru_cache(maxsize=4096)
def is_heavy(name: str, attrs: Any, operands: int) -> bool:
    """Whether an elementwise op's code is long, by name, attributes and number of operands."""
    build = getattr(op_named(name).lowering, "build", None)
    if not callable(build):
        return build in TRANSCENDENTAL and build not in _SHORT
    b = Builder("trial", (F32,) * operands)
    try:
        build(b, attrs, *b.parameters)
    except (TypeError, ValueError, KeyError, AttributeError):
        return False  # an op of integers or bools
    names = [i.name for i in b.body]
    return len(names) > _LONG or any(n in TRANSCENDENTAL and n not in _SHORT for n in names)


def weight(spec: Spec) -> int:
    """About how many cycles the values of one vector take."""
    total = 0
    for v in spec.values:
        if v.level == ELEMENT:
            total += 40 if v.op == "random" else 12 if is_heavy_value(v) else 1
    return total


def is_long(spec: Spec) -> bool:
    """Whether the element code is long enough to be written once, masked unless extents are whole vectors."""
    return len(spec.values) > 40 or has_heavy(spec)


def has_heavy(spec: Spec) -> bool:
    """Whether a value of each element is dear."""
    return any(v.op == "random" or is_heavy_value(v) for v in spec.values if v.level == ELEMENT)


def is_heavy_value(v: Any) -> bool:
    """Whether a value of a spec is a dear elementwise op."""
    return v.op == "inst" and is_heavy(v.attr[0], v.attr[1], len(v.operands))
