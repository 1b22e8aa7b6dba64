"""Contractions: from an equation over strided views to the nest's data, and to a kernel call once sizes are known."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from squall.base.dim import evaluate
from squall.compiler import nest
from squall.compiler.pull import Home
from squall.ir.node import Node
from squall.ir.plan import ContractStep, KernelStep, Word
from squall.runtime.native import native


def contraction_of(node: Node, a: Home, b: Home, c: Home) -> nest.Contraction:
    """The nest's data; extents and strides may be symbolic. Summed letters keep their order in the first operand."""
    left, right, out = _letters(node.attrs[0])
    dims = []
    for letter in dict.fromkeys(out + left + right):
        sides = [(left, node.inputs[0], a), (right, node.inputs[1], b), (out, node, c)]
        found = [(n.shape[x.index(letter)], h.strides[x.index(letter)]) if letter in x else None for x, n, h in sides]
        extent = next(f[0] for f in found if f is not None)
        kind = "batch" if all(found) else "m" if found[1] is None else "n" if found[0] is None else "k"
        dims.append(nest.Dimension(kind, extent, *(0 if f is None else f[1] for f in found)))
    short = node.dtype.short
    return nest.Contraction(short, nest.ACCUMULATE[short], tuple(dims), short)


def _letters(equation: str) -> tuple[str, str, str]:
    operands, _, out = equation.partition("->")
    a, _, b = operands.partition(",")
    return a, b, out


@lru_cache(maxsize=4096)
def _planned(contraction: nest.Contraction, isa: str, threads: int) -> nest.NestPlan:
    return nest.plan(contraction, isa, threads)


def resolve(step: ContractStep, sizes: dict[str, int]) -> list[KernelStep]:
    """The kernel calls of a contraction for given sizes."""
    dims = tuple(nest.Dimension(d.kind, *(evaluate(n, sizes) for n in d[1:])) for d in step.contraction.dims)
    contraction = step.contraction._replace(dims=dims)
    planned = _planned(contraction, step.isa, native().state()["threads"])
    names: dict[str, Word] = dict(zip(("a", "b", "c"), step.operands, strict=True))
    out = []
    for s in planned.steps:
        words = tuple(names[w] if isinstance(w, str) else Word("int", w) for w in s.words)
        program: Any = nest.program(s.library)
        out.append(KernelStep(s.library, program, words, s.units, s.grain, step.label, s.scratch_bytes))
    return out
