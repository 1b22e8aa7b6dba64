"""`sq.compile`: guarded capture of a function as one program.

The first call with arguments of a kind runs the function on placeholders (`tracing.py`), collects what it read and wrote,
and compiles the graph. Later calls compare guards (`guards.py`), bind buffers and numbers as they then are, run the
program, and re-point what it wrote: parameters, optimizer state, running statistics, `.grad`. Nothing goes stale
silently: a call is right, captures anew, or raises a named error.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

from squall.base import epoch, pytree, trace as events
from squall.base.errors import TraceError
from squall.frontend.binding import Bound
from squall.frontend.capture import capture
from squall.frontend.dynamic import Dynamic
from squall.frontend.evaluation import flush, user_line
from squall.frontend.guards import Surroundings, argument_key, mode_key
from squall.frontend.state import local

CAPTURES = 64


class Compiled:
    """A compiled function; made by `compile`.

    Attributes:
        captures: how often the function was captured. calls: how often it was called.
    """

    def __init__(self, function: Callable, dynamic: Any):
        functools.update_wrapper(self, function, updated=())
        self.function, self.dynamic = function, dynamic
        self.programs: dict[tuple, Bound] = {}
        self.surroundings: Surroundings | None = None
        self.captures = self.calls = 0
        self._epoch, self._fingerprint = -1, ()
        self._numbers: dict[tuple, dict[int, Any]] = {}
        self._varying: dict[Any, frozenset[int]] = {}
        self._fixed: set[tuple[Any, int]] = set()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self.__call__, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if local.state.trace is not None:  # inside another trace: part of that program
            return self.function(*args, **kwargs)
        self.calls += 1
        leaves, structure = pytree.flatten((args, kwargs))
        flush()
        varying = self._varying.get(structure, frozenset())
        key = self._key(leaves, structure, varying)
        program = self.programs.get(key)
        if program is None:
            program, leaves = self._capture(leaves, structure)
        return program.run(leaves)

    def _key(self, leaves: list, structure: Any, varying: frozenset[int]) -> tuple:
        if self.surroundings is None:
            self.surroundings = Surroundings(self.function, leaves)
        if self._epoch != epoch.structure:
            self._fingerprint, self._epoch = self.surroundings.fingerprint(), epoch.structure
        arguments = argument_key(leaves, varying) if self.dynamic is None else self.dynamic.key(leaves, varying)
        return (structure, arguments, mode_key(), self.surroundings.values(), self._fingerprint, self._grads())

    def _grads(self) -> tuple:
        """Which reachable parameters have a gradient: the first step of a loop has none."""
        assert self.surroundings is not None
        return tuple(p.edge.grad is None for m in self.surroundings.modules if hasattr(m, "_modules")
                     for p in m.parameters() if p.edge is not None)

    def _capture(self, leaves: list, structure: Any) -> tuple[Bound, list]:
        varying = self._choose_varying(leaves, structure)
        try:
            return self._capture_with(leaves, structure, varying), leaves
        except TraceError:
            if not varying:
                raise
            # a number's value was asked for: it stays part of the guard from now on
            self._fixed |= {(structure, p) for p in varying}
            self._varying[structure] = frozenset()
            return self._capture_with(leaves, structure, frozenset()), leaves

    def _choose_varying(self, leaves: list, structure: Any) -> frozenset[int]:
        seen = self._numbers.setdefault(structure, {})
        varying = set(self._varying.get(structure, frozenset()))
        for position, leaf in enumerate(leaves):
            if leaf.__class__ in (int, float) and (structure, position) not in self._fixed:
                if seen.setdefault(position, leaf) != leaf:
                    varying.add(position)
        self._varying[structure] = frozenset(varying)
        return frozenset(varying)

    def _capture_with(self, leaves: list, structure: Any, varying: frozenset[int]) -> Bound:
        if self.captures >= CAPTURES:
            raise TraceError(f"{self.function.__qualname__} was captured {CAPTURES} times: something it is guarded by changes with "
                             "every call. Pass what changes as a Tensor, or leave the function uncompiled.")
        key = self._key(leaves, structure, varying)
        assert self.surroundings is not None
        before = self.surroundings.values()
        structure_before = epoch.structure
        self.captures += 1
        events.count("captures")
        program = capture(self.function, leaves, structure, varying, self.dynamic, f"{self.function.__qualname__} at {user_line()}",
                          lambda: epoch.structure != structure_before)
        self.surroundings.changed_during(before)
        if program.reusable:
            self.programs[key] = program
        else:
            self.surroundings = None
        return program


def compile(function: Callable | None = None, *, dynamic_shapes: Any = None, fullgraph: bool = True, **options: Any) -> Any:
    """Make a function one compiled program per kind of arguments.

    Args:
        function: takes and returns Tensors in nested containers; may use modules, optimizers, backward and random numbers.
        dynamic_shapes: for each positional argument a map from dimension to `sq.Dim` (or None): sizes declared to vary, compiled
            once for their range. fullgraph and other options of torch.compile are accepted; capture is always whole.

    Returns:
        Compiled: to be called like the function. Usable as a decorator.

    Raises:
        TraceError: when called, if the function asks for a value, lets a traced Tensor escape, or changes what it is guarded by.

    Example:
        >>> import squall as sq
        >>> @sq.compile
        ... def scaled(x, factor):
        ...     return (x * factor).sum()
        >>> scaled(sq.ones(3), 2.0).item()
        6.0
    """
    if function is None:
        return lambda f: compile(f, dynamic_shapes=dynamic_shapes, fullgraph=fullgraph, **options)
    if isinstance(function, Compiled):
        return function
    return Compiled(function, None if dynamic_shapes is None else Dynamic(dynamic_shapes))


def explain(function: Any, *args: Any, **kwargs: Any) -> str:
    """What a compiled function became: kernels, what fused and why not, inputs and donations.

    Args:
        function: a Compiled, or a function to compile. args, kwargs: an example call, which is run.
    """
    compiled = function if isinstance(function, Compiled) else compile(function)
    compiled(*args, **kwargs)
    lines = []
    for program in compiled.programs.values():
        lines.extend(program.report())
    return "\n".join(lines)


