"""How optimizer steps are declared: one op updates any number of parameters, each with its own state.

Operands of an update of n parameters: n parameters, n gradients, n of the first state, n of the second, ..., and the
zero-dim numbers of the rule, in float64 as Python keeps them. Results: n parameters, n of the first state, ... What a
schedule may change is a number; what changes the program is a flag, an attribute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base.dtypes import DType, float64
from squall.base.errors import ShapeError
from squall.ir.families import elementwise
from squall.ir.op import NON_DIFFERENTIABLE, Decompose, Op, Sample, declare, ops
from squall.ops.common import as_dtype_of, widen
from squall.ops.samples import floats


class Numbers:
    """The zero-dim values of a step: `n["lr"]` in float64, `n("lr", dtype)` in the dtype parameters are computed in."""

    def __init__(self, values: dict[str, Any]):
        self._values = values
        self._cast: dict[tuple[str, DType], Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __call__(self, name: str, dtype: DType) -> Any:
        found = self._cast.get((name, dtype))
        if found is None:
            found = self._cast[name, dtype] = as_dtype_of(self._values[name], dtype)
        return found


class _Update:
    """The rules of one update's op, made from what `declare_update` was given."""

    def __init__(self, name: str, states: Callable, numbers: tuple, flags: tuple, rule: Callable, reference: Callable,
                 shared: Callable | None):
        self.name, self.states, self.numbers, self.flags = name, states, numbers, flags
        self.rule, self.reference, self.shared = rule, reference, shared

    def given(self, attrs: tuple) -> dict[str, bool]:
        """The flags by name."""
        return dict(zip(self.flags, attrs, strict=True))

    def parts(self, operands: tuple, given: dict[str, bool]) -> tuple[int, int]:
        """How many parameters and states there are."""
        kept = self.states(**given)
        count, rest = divmod(len(operands) - len(self.numbers), 2 + kept)
        if rest or count < 1:
            raise ShapeError(
                f"{self.name}: {len(operands)} operands are not parameters, gradients and {kept} states of each, and "
                f"the numbers {', '.join(self.numbers)}")
        return count, kept

    def infer(self, types: tuple, attrs: tuple) -> tuple:
        """The types of parameters and states."""
        count, kept = self.parts(types, self.given(attrs))
        for group in range(1, 2 + kept):
            for i in range(count):
                p, other = types[i], types[group * count + i]
                if tuple(p.shape) != tuple(other.shape):
                    raise ShapeError(f"{self.name}: parameter {p} and {other} must have one shape")
        return (*types[:count], *types[2 * count:(2 + kept) * count])

    def expand(self, *operands: Any, **given: bool) -> tuple:
        """The update in other ops."""
        count, kept = self.parts(operands, given)
        values = {n: as_dtype_of(v, float64) for n, v in zip(self.numbers, operands[(2 + kept) * count:], strict=True)}
        values.update(self.shared(values, **given) if self.shared else {})
        n, columns = Numbers(values), []
        for i in range(count):
            p, g, *own = (operands[group * count + i] for group in range(2 + kept))
            wide = widen(p)
            made = self.rule(wide, as_dtype_of(g, wide.dtype), [as_dtype_of(s, wide.dtype) for s in own], n, **given)
            columns.append([as_dtype_of(m, like.dtype) for m, like in zip(made, (p, *own), strict=True)])
        return tuple(column[k] for k in range(1 + kept) for column in columns)

    def oracle(self, *operands: Any, **given: bool) -> tuple:
        """The update in NumPy."""
        count, kept = self.parts(operands, given)
        n = {key: v if getattr(v, "ndim", 0) else float(v)
             for key, v in zip(self.numbers, operands[(2 + kept) * count:], strict=True)}
        columns = [
            self.reference(*(operands[group * count + i] for group in range(2)),
                           [operands[group * count + i] for group in range(2, 2 + kept)], n, **given)
            for i in range(count)]
        return tuple(column[k] for k in range(1 + kept) for column in columns)

    def batch(self, op: Op, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
        """The update of a batch: at once, or where numbers differ within it parameter by parameter."""
        given = self.given(attrs)
        count, kept = self.parts(operands, given)
        own, results = (2 + kept) * count, tuple([True] * (1 + kept) * count)
        whole = [o if b else ops.expand(o, shape=(size, *o.shape))
                 for o, b in zip(operands[:own], batched[:own], strict=True)]
        if not any(batched[own:]):
            return op(*whole, *operands[own:], **given), results
        columns = []
        for i in range(count):
            mine = [whole[group * count + i] for group in range(2 + kept)]
            ones = (1,) * (len(mine[0].shape) - 1)
            values = [ops.reshape(o, shape=(size, *ones)) if b else o
                      for o, b in zip(operands[own:], batched[own:], strict=True)]
            columns.append(op(*mine, *values, **given))
        return tuple(column[k] for k in range(1 + kept) for column in columns), results


def declare_update(
    name: str, *, states: Callable[..., int], numbers: tuple[str, ...], flags: tuple[str, ...], rule: Callable,
    reference: Callable, samples: Callable, doc: str, shared: Callable | None = None,
) -> Op:
    """Declare an update.

    Args:
        states: how many states a parameter has, given the flags. numbers: names, in operand order. flags: names of
            attributes, False by default. rule: `rule(p, g, states, n, **flags) -> (p, *states)` on values in the
            dtype of computation. reference: the same for NumPy, n being a dictionary of floats
            (of arrays that broadcast, in a batch). shared: `shared(n, **flags) -> dict` of further float64 values made
            once for all parameters. samples: `samples() -> list of (numbers, flags)`; arrays are made here.
    """
    update = _Update(name, states, numbers, flags, rule, reference, shared)
    return declare(
        name, elementwise, attributes=flags, defaults=dict.fromkeys(flags, False), promotion="none",
        grad=NON_DIFFERENTIABLE, infer=update.infer, vmap=update.batch, lowering=Decompose(update.expand),
        reference=update.oracle, samples=lambda: _samples(samples(), states), doc=doc)


def _samples(given: list, states: Callable) -> list[Sample]:
    """Samples of each (numbers, flags): shapes by turns, and two parameters at once the first time."""
    import numpy

    out, shapes = [], ((3, 4), (5,), (), (0, 2), (2, 3))
    for position, (numbers, flags) in enumerate(given):
        group = [shapes[position % len(shapes)]] + ([(7,)] if position == 0 else [])
        operands = [floats(shape, 10 * k + i) if k < 2 else floats(shape, 10 * k + i, 0.1, 1.0)
                    for k in range(2 + states(**flags)) for i, shape in enumerate(group)]
        operands += [numpy.asarray(value, numpy.float64) for value in numbers]
        out.append(Sample(tuple(operands), flags, f"{group} {flags}"))
    return out


def decayed(p: Any, g: Any, n: Any, decay: bool, maximize: bool) -> Any:
    """The gradient as rules begin: turned round to go up, and with the weights' decay added; Nodes or arrays."""
    if isinstance(n, dict):
        g = -g if maximize else g
        return g + p * n["weight_decay"] if decay else g
    g = ops.neg(g) if maximize else g
    return ops.add(g, ops.mul(p, n("weight_decay", p.dtype))) if decay else g


def mixed(old: Any, new: Any, n: Any, kept: str, left: str) -> Any:
    """kept * old + left * new, both numbers of the step."""
    return ops.add(ops.mul(old, n(kept, old.dtype)), ops.mul(new, n(left, new.dtype)))


def left_over(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """1 - value for each name, called "1-name"."""
    return {f"1-{name}": ops.sub(1.0, values[name]) for name in names}
