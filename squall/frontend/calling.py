"""What native code must know of a captured program to make a whole call of it; see `native_compiled.py`.

A `Call` says of each argument, of each value read from outside and of each Tensor reached what it must be, in the
simplest terms: objects to compare by identity, dictionaries and attributes to look into. Programs that take more than
that (symbolic sizes, arguments that share storage, gradients of arguments, arrays by content) have none.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable
from typing import Any

from squall.frontend.arguments import ArgumentReader, _Tensor
from squall.frontend.binding import Program
from squall.frontend.cell import Cell
from squall.frontend.core import Handle
from squall.frontend.guards import PLAIN, Watch
from squall.frontend.surroundings import CellReader
from squall.frontend.tape import GradRecord, Leaf
from squall.runtime.python_native import offset_of

READ_DICT, READ_CELL, READ_ATTRIBUTE, READ_SLOT, READ_OTHER = range(5)
BRIEF = 64 << 10
NUMBER_FIXED, NUMBER_ARGUMENT, NUMBER_READ, NUMBER_DERIVED = range(4)


class CallSlots:
    """The slots of a compiled function that native code looks into.

    Attributes:
        ready: the `Call`s of its programs, or None. counter: the address of the word that counts its calls.
    """

    __slots__ = ("_count", "counter", "ready")
    ready: tuple | None

    def __init__(self) -> None:
        self._count, self.ready = ctypes.c_int64(0), None
        self.counter = ctypes.addressof(self._count)

    @property
    def calls(self) -> int:
        """How often the function was called."""
        return self._count.value

    def count_call(self) -> None:
        """One call more."""
        self._count.value += 1


class Call:
    """A program for native code.

    Attributes:
        program: described here. structure: of its arguments. mode: (grad, inference, default dtype).
        arguments: by leaf, (class, type, row-major, kind of history, pinned or None) of a Tensor, (None, value) of what
            must be that, (class,) of a number that varies. tensors: how many Tensors. by_storage: whether they must not
            share storage. outside: numbers of objects no argument may be, or None.
        watch, readers, containers, slow: what is read from outside: entries (code, owner, key, value), entries
            (container, items or length), and whether Python must be asked about further containers.
        handles, leaf_states: Tensors from outside; leaves and whether they have no gradient.
        scalars: (code, source) of run-time numbers. spec: for `run_call`. outputs: the number of the only result,
            numbers of results in a tuple, or None where Python makes them. alone: whether memory may be taken over, for
            which there must be no other thread. lock: (acquire, release) of a program that writes, or None. brief:
            whether a run is over so little memory that other threads may wait for it.
    """

    __slots__ = ("alone", "arguments", "brief", "by_storage", "containers", "handles", "leaf_states", "lock", "mode",
                 "outputs", "outside", "program", "readers", "scalars", "slow", "spec", "structure", "tensors", "watch")
    program: Program

    def __init__(self, **slots: Any):
        for name, value in slots.items():
            setattr(self, name, value)


class NativeBound:
    """What makes the function that runs a `bound.Bound`, once there is native code: `function(bound)`."""

    function: Callable[[Any], Callable[[], Any]] | None = None


def describe(program: Program, lock: Any) -> Call | None:
    """The `Call` of a program that ran; None where Python must make calls of it.

    Args:
        lock: of the compiled function.
    """
    arguments, watch = program.arguments, program.watch
    specs = _arguments(program)
    if program.native is None or specs is None or arguments.sharing is not None or program.mode[2] is not None:
        return None
    if any(leaf.__class__ is int for leaf, _ in program.leaf_states) or len(specs) > 250:
        return None
    containers, slow = _containers(watch)
    grad, inference, _, dtype = program.mode
    writes = bool(program.writes or program.gradients)
    readers = [_reader(getter, key, value) for getter, key, value, _ in watch.readers]
    if program.folded is not None:
        readers += [(READ_SLOT, owner, slot_of(owner, name), value) for owner, name, value in program.folded.guards]
    return Call(
        program=program,
        structure=program.structure,
        mode=(grad, inference, dtype),
        arguments=specs,
        tensors=len(arguments.tensors),
        by_storage=arguments.writes,
        outside=arguments.outside or None,
        watch=watch,
        readers=tuple(readers),
        containers=containers,
        slow=slow,
        handles=tuple([(h, GradRecord if edge == "history" else edge, cell) for h, edge, cell in program.handles]),
        leaf_states=tuple(program.leaf_states),
        scalars=tuple([_number(kind, source) for kind, source in program.scalars]),
        spec=program.native,
        outputs=outputs_of(program),
        alone=any(e.donated for e in program.inputs),
        lock=(lock.acquire, lock.release) if writes else None,
        brief=_memory(program) <= BRIEF,
    )


def slot_of(owner: Any, name: str) -> int:
    """Where a slot lies in a storage or a Tensor, in bytes."""
    return offset_of(Cell if owner.__class__ is Cell else Handle, name)


def _memory(program: Program) -> int:
    """How many bytes a run is over."""
    types = [*[n.type for n in program.input_nodes], *program.types]
    assert program.native is not None
    return program.native[0].binding.arena_bytes + sum(math.prod(t.shape) * t.dtype.itemsize for t in types)


def _arguments(program: Program) -> tuple | None:
    out: list[tuple] = []
    for spec in program.arguments.specs:
        if spec.__class__ is not _Tensor:
            cls, value = spec
            if cls is None and value.__class__ not in PLAIN:
                return None
            out.append((None, value) if cls is None else (cls,))
        elif spec.symbolic or spec.steps is not None:
            return None
        else:
            kind = GradRecord if spec.edge == "history" else Leaf if spec.edge is Leaf else None
            out.append((spec.cls, spec.type, spec.plain, kind, spec.pinned))
    return tuple(out)


def _reader(getter: Callable, key: Any, value: Any) -> tuple:
    """How native code reads a value from outside."""
    owner = getattr(getter, "__self__", None)
    if owner.__class__ is dict and getter == owner.get:  # type: ignore[union-attr]
        return READ_DICT, owner, key, value
    if getter.__class__ is CellReader:
        return READ_CELL, getter.cell, None, value
    if getter.__class__ is functools.partial and getter.func is getattr and len(getter.args) == 1:
        return READ_ATTRIBUTE, getter.args[0], key, value
    return READ_OTHER, getter, key, value


def _containers(watch: Watch) -> tuple[tuple, bool]:
    """Lists, dictionaries and lengths that native code compares, and whether there is more."""
    simple = [(c, items) for c, items, _ in watch.containers if c.__class__ in (list, dict)]
    out = [(c, length) for c, length, _ in watch.lengths] + simple
    return tuple(out), bool(watch.arrays) or len(simple) < len(watch.containers)


def _number(kind: str, source: Any) -> tuple:
    if kind == "fixed":
        return NUMBER_FIXED, source
    if kind == "read":
        return NUMBER_READ, source
    if source.__class__ is ArgumentReader:
        return NUMBER_ARGUMENT, source.position
    return NUMBER_DERIVED, source


def outputs_of(program: Program) -> Any:
    """The number of the only result, numbers of results in a tuple, or None for other results."""
    fresh = all(o.kind == "fresh" and o.history is None and o.item.kind == "root" for o in program.outputs)
    numbers: tuple = tuple([o.item.index for o in program.outputs]) if fresh else ()
    if program.simple and fresh:
        return numbers[0]
    structure = program.out_structure
    flat = structure.type is tuple and all(child.type is None for child in structure.children)
    return numbers if fresh and flat else None


def results(call: Call, leaves: list, nodes: list) -> Any:
    """What a call gives, from its results' Nodes."""
    return call.program._results_of(leaves, nodes, [])


def stopped(call: Call, leaves: list, told: tuple) -> None:
    """Raise what stopped a run: (status, detail)."""
    call.program._stopped(leaves, {}, *told)
