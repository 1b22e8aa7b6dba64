"""What tests of native code share: having it, doing without it, and a history as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import squall as sq
from squall.engine import ready
from squall.frontend import core, native
from squall.frontend.entries import in_python as as_it_is
from squall.frontend.jit import Compiled
from squall.ir.op import ops


def load() -> None:
    """Put the native code in place, or skip."""
    if ready.Native.load is not None:
        ready.Native.load, load = None, ready.Native.load
        load()
    if ready.Native.flush is None:
        pytest.skip("no native code on this interpreter")


@contextmanager
def in_python() -> Iterator[None]:
    """Recording, writing, calls and flushes by Python."""
    flush, ready.Native.flush = ready.Native.flush, None
    names = ("record", "apply", "unary", "write", "in_place", "backward", "captured")
    before = [getattr(core.Native, name) for name in names]
    call, core.Native.call = core.Native.call, staticmethod(as_it_is)
    called, Compiled.__call__ = Compiled.__call__, native._python_call  # type: ignore[method-assign]
    methods = {name: sq.Tensor.__dict__[name] for name in native._METHODS}
    for name in names:
        setattr(core.Native, name, None)
    try:
        for name in methods:
            setattr(sq.Tensor, name, native._python(name))
        yield
    finally:
        ready.Native.flush, core.Native.call = flush, call
        Compiled.__call__ = called  # type: ignore[method-assign]
        for name, entry in zip(names, before, strict=True):
            setattr(core.Native, name, entry)
        for name, method in methods.items():
            setattr(sq.Tensor, name, method)


def history(edge: object) -> object:
    """A history as plain data: ops, attributes, types, what is saved, versions and noted storages."""
    if edge is None or not hasattr(edge, "edges"):
        return type(edge).__name__
    kept = [None if v is None else [n is not None for n in v] for v in (edge.inputs, edge.holders)]
    if edge.inputs is not None:  # nobody can write to a number: whether something holds it is all the same
        read = zip(kept[1], edge.inputs, strict=True)
        kept[1] = [held and n.op is not ops.scalar for held, n in read if n is not None]
    noted = [(cell.describe(), version) for cell, version in edge.cells]
    return (edge.op.name, edge.attrs, edge.types, edge.out_type, kept, edge.versions, edge.output is not None,
            edge.state, noted, [history(e) for e in edge.edges])
