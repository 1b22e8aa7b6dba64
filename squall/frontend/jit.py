"""`sq.compile`: guarded capture of a function as one program.

The first call with arguments of a kind runs the function on stand-ins (`capture.py`), collects what it read
and wrote, and compiles the graph. Later calls compare guards (`arguments.py`, `guards.py`), bind buffers and
numbers as they then are (`binding.py`), run the program, and re-point what it wrote: parameters, optimizer
state, running statistics, `.grad`. Nothing goes stale silently: a call is right, captures anew, or raises a
named error.

A function in which the size of something depends on values (`by_values.py`) is no single program. It runs as it is:
what was recorded until then is evaluated by a plan of its own, found again by its graph, and recording goes on.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base import trace as events
from squall.base.errors import ArgumentError, TraceError
from squall.engine import ready
from squall.frontend import calling
from squall.frontend.arguments import Assumed
from squall.frontend.binding import MISS, Program
from squall.frontend.bound import Bound
from squall.frontend.calling import CallSlots
from squall.frontend.capture import Capture
from squall.frontend.core import Handle
from squall.frontend.dynamic import Dynamic, automatic
from squall.frontend.evaluation import UnknownSizeError, flush, user_line
from squall.frontend.folding import folded
from squall.frontend.freezing import MOST_CHANGES, Frozen
from squall.frontend.parts import AssumeMoreError, mode_key
from squall.frontend.state import local

CAPTURES = 64
FROZEN_SIZES = 8  # programs for sizes of their own, since one for any size is not frozen
_leaf_classes: dict[type, bool] = {}
_IN_PARTS: Any = object()


def _is_leaf_class(value: Any) -> bool:
    """Whether values of a class are leaves of a pytree whatever they hold."""
    return value is not None and pytree.flatten(value)[1] == pytree.LEAF


class Compiled(CallSlots):
    """A compiled function; made by `compile`.

    Attributes:
        captures: how often the function was captured. calls: how often it was called. programs: what
        it was captured as. parts: for kinds of arguments with which it is no single program, why not.
    """

    def __init__(self, function: Callable, dynamic: Dynamic | None, freeze: bool = False, whole: bool = False):
        super().__init__()
        functools.update_wrapper(self, function, updated=())
        self.function, self.dynamic, self.freeze, self.whole = function, dynamic, freeze, whole
        self.label = getattr(function, "__qualname__", type(function).__name__)
        self.programs: list[Program] = []
        self.frozen: dict[Program, Frozen] = {}
        self.parts: dict[Any, UnknownSizeError] = {}
        self.captures = 0
        self._lock = threading.RLock()
        self._fixed: set[tuple[Any, int]] = set()
        self._concrete: set[tuple[Any, int, int]] = set()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self.__call__, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = local.state
        if (
            state.trace is not None or state.eager or state.anomaly
        ):  # part of another program, or to be watched op by op
            return self.function(*args, **kwargs)
        leaves: list | None = None
        if not kwargs:
            for value in args:
                cls = value.__class__
                leaf = _leaf_classes.get(cls)
                if leaf is None:
                    leaf = _leaf_classes[cls] = _is_leaf_class(value)
                if not leaf:
                    break
            else:
                leaves, structure = list(args), len(args)
        if leaves is None:
            leaves, structure = pytree.flatten((args, kwargs))  # type: ignore[assignment]
        if state.pending:
            flush()
        with self._lock:
            result = self._run(leaves, structure)
        return self.function(*args, **kwargs) if result is _IN_PARTS else result

    def _run(self, leaves: list, structure: Any) -> Any:
        self.count_call()
        if ready.Native.load is not None:  # a program that does nothing but call this never meets a plan again
            ready.met_again(self.calls if not self.freeze else sys.maxsize)
        if self.dynamic is not None:
            self.dynamic.check(leaves)
        mode = mode_key()
        for number, program in enumerate(self.programs):
            if program.structure == structure:
                result = program.attempt(leaves, mode)
                if result is not MISS:
                    if number:
                        self.programs.insert(0, self.programs.pop(number))
                    if program.call is None and program.native is not None and self.dynamic is None:
                        self._let_native_call(program)
                    elif self.frozen and program in self.frozen and self.frozen[program].look_again():
                        self._make_ready()
                    return result
        kind = (structure, mode, _kinds(leaves)) if not self.whole else None
        if kind in self.parts:
            return _IN_PARTS
        try:
            capture, program = self._capture(leaves, structure)
        except UnknownSizeError as error:
            if self.whole:
                raise
            self.parts[kind] = error.with_traceback(None)
            return _IN_PARTS
        if self.freeze:
            program = folded(program)
        if not program.created:
            self.programs.insert(0, program)
        try:
            result = program.attempt(leaves, mode)
        except BaseException:
            capture.undo_state()
            raise
        if result is MISS:
            self.programs = [p for p in self.programs if p is not program]
            raise TraceError(f"{program.name}: what the function is guarded by changed while it was captured")
        return result

    def bind(self, *arguments: Any, out: Any = None, **named: Any) -> Any:
        """The function bound to memory, for loops in which nothing but the numbers changes.

        Args:
            arguments, named: of the function. An ndarray is read anew by every run, where it lies; a Tensor with the
                value it then has. Everything else is fixed. out: what the result is written to, an ndarray or Tensor of
                its shape and dtype, or a tuple of such for several; None for a new ndarray.

        Returns:
            Bound: `run()` computes the results, without history, and gives `out`. Shapes, dtypes and layouts are
            checked here, not by runs. Parameters and other values read from outside may change between runs.

        Raises:
            ShapeError, DtypeError, ArgumentError: for an `out` or an array that does not fit. TraceError: for a
            function that does more than compute new Tensors: that writes, draws random numbers, or gathers gradients.

        Example:
            >>> import numpy as np, squall as sq
            >>> x = np.ones(2, "float32")
            >>> bound = sq.compile(lambda x: x + 1.0).bind(x)
            >>> bound.run()
            array([2., 2.], dtype=float32)
        """
        return Bound(self, arguments, named, out)

    def program_of(self, arguments: tuple, named: dict) -> tuple[Program, Any]:
        """The program that a call which was just made ran, and its `Call` or None."""
        leaves, structure = pytree.flatten((arguments, named))
        short = len(arguments) if not named and structure.children[0].children == (pytree.LEAF,) * len(leaves) else None
        mode = mode_key()
        for program in self.programs:
            if program.structure in (structure, short) and program.mode == mode:
                if program.arguments.fit(leaves) is not False and program.watch.holds():
                    frozen = self.frozen.get(program)
                    return program, (frozen and frozen.call) or program.call or None
        reason = self.reason(arguments, named)
        why = f"runs in parts and is no single program: {reason}" if reason else "is captured anew by every call"
        raise TraceError(f"{self.label}: the function {why}")

    def reason(self, arguments: tuple, named: dict) -> UnknownSizeError | None:
        """Why a call that was just made is no single program; None if it is one."""
        leaves, structure = pytree.flatten((arguments, named))
        short = len(arguments) if not named and structure.children[0].children == (pytree.LEAF,) * len(leaves) else None
        kinds = mode_key(), _kinds(leaves)
        return self.parts.get((structure, *kinds)) or self.parts.get((short, *kinds))

    def _let_native_call(self, program: Program) -> None:
        program.call = calling.describe(program, self._lock) or False
        if self.freeze and program.call and (program.folded is None or program.folded.changes <= MOST_CHANGES):
            self.frozen[program] = Frozen(program, program.call)
        else:
            self.frozen.pop(program, None)
        self._make_ready()

    def _make_ready(self) -> None:
        """The calls that native code makes, frozen ones in the place of others."""
        frozen = {p: f.call for p, f in self.frozen.items() if f.call is not None}
        self.frozen = {p: f for p, f in self.frozen.items() if p in self.programs}
        self.ready = tuple([frozen.get(p, p.call) for p in self.programs if p.call]) or None

    # ------------------------------------------------------------ capturing
    def _capture(self, leaves: list, structure: Any) -> tuple[Capture, Program]:
        if self.captures >= CAPTURES:
            changed = next((p.watch.changed() for p in self.programs if p.structure == structure), None)
            raise TraceError(
                f"{user_line()}: {self.label} was captured {CAPTURES} times: something it is guarded by changes "
                f"with every call{f', now {changed}' if changed else ''}. Pass what changes as a Tensor, or leave "
                "the function uncompiled."
            )
        same = [p.arguments for p in self.programs if p.structure == structure]
        varying = frozenset(
            i
            for i, v in enumerate(leaves)
            if v.__class__ in (int, float)
            and (structure, i) not in self._fixed
            and any(a.specs[i] != (None, v) for a in same)
        )
        if self.dynamic is not None:
            dims = self.dynamic.dims_of(leaves)
        elif self.freeze and len(same) < FROZEN_SIZES:
            dims = ()
        else:
            dims = automatic(leaves, same, structure, self._concrete)
        try:
            return self._capture_assuming(leaves, structure, Assumed(varying=varying, dims=dims))
        except Exception:
            if not varying and (not dims or self.dynamic is not None):
                raise
        # a value was asked for: numbers and undeclared sizes stay part of the guard from now on
        if self.dynamic is None and dims:
            self._concrete |= {(structure, position, dim) for (position, dim), _ in dims}
            dims = ()
            try:
                return self._capture_assuming(leaves, structure, Assumed(varying=varying))
            except Exception:
                if not varying:
                    raise
        self._fixed |= {(structure, i) for i in varying}
        return self._capture_assuming(leaves, structure, Assumed(dims=dims))

    def _capture_assuming(self, leaves: list, structure: Any, assumed: Assumed) -> tuple[Capture, Program]:
        name = f"{self.label} at {user_line()}"
        while True:
            self.captures += 1
            events.count("captures")
            capture = Capture(self.function, leaves, structure, _pack, assumed, name)
            try:
                with events.span("capture"):
                    return capture, capture.run()
            except AssumeMoreError as more:
                self.captures -= 1
                wider = {key: getattr(assumed, key) | value for key, value in more.more.items()}
                assumed = assumed._replace(**wider)
            except TraceError as error:
                raise _located(error, name) from error


def _pack(structure: Any, values: list) -> tuple[tuple, dict]:
    """(args, kwargs) of flat arguments."""
    return (tuple(values), {}) if structure.__class__ is int else pytree.unflatten(structure, values)


def _kinds(leaves: list) -> tuple:
    """Flat arguments as far as they may decide which way a function goes: neither sizes nor numbers."""
    return tuple([
        (v.node.dtype, len(v.node.shape)) if isinstance(v, Handle) else v if v.__class__ in (bool, str) else v.__class__
        for v in leaves
    ])


def _located(error: TraceError, name: str) -> TraceError:
    """The error with the user's line, taken from its traceback, when the message has none."""
    text = str(error)
    frame, line = error.__traceback__, None
    while frame is not None:
        if frame.tb_frame.f_globals.get("__name__", "").partition(".")[0] != "squall":
            line = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
        frame = frame.tb_next
    if line is None or line in text:
        return error
    return TraceError(f"{line}: {text}")


def compile(
    function: Callable | None = None, *, dynamic_shapes: Any = None, fullgraph: bool = False, freeze: bool = False,
    disable: bool = False, **options: Any,
) -> Any:
    """Make a function one compiled program per kind of arguments.

    Args:
        function: takes and returns Tensors in nested containers; may use modules, optimizers, backward and
        random numbers. dynamic_shapes: for each positional argument a map from dimension to `sq.Dim` (or
        None): sizes declared to vary, compiled
            once for their range. fullgraph: raise an error where the size of something depends on values, as of
            `x[x > 0]`, `nonzero` and `unique`. Otherwise such a function runs in parts: what it has recorded is
            evaluated, the size is known, and recording goes on; `sq.explain` says where. Other options of
            torch.compile (dynamic, backend, mode, options) are accepted. freeze: for inference; weights that a call
            only reads are packed once, and what depends on them alone is computed once. A known scale and shift of the
            channels behind a convolution or linear layer, as of batch normalisation that evaluates, go into its weight
            and bias, and 3 x 3 convolutions of many channels use Winograd's filters, both of which round otherwise
            than the function does uncompiled. A weight may still be written: the next call sees it. Calls that record
            history are as without it. disable: give the function back as it is.

    Returns:
        Compiled: to be called like the function. Usable as a decorator.

    Raises:
        TraceError: when called, if the function asks for a value, lets a traced Tensor escape, or changes
        what it is guarded by; with `fullgraph`, also if a size depends on values. ArgumentError: for `freeze` with
        `dynamic_shapes`.

    Example:
        >>> import squall as sq
        >>> @sq.compile
        ... def scaled(x, factor):
        ...     return (x * factor).sum()
        >>> scaled(sq.ones(3), 2.0).item()
        6.0
    """
    if function is None:
        return lambda f: compile(f, dynamic_shapes=dynamic_shapes, fullgraph=fullgraph, freeze=freeze, disable=disable)
    if disable:
        return function
    if isinstance(function, Compiled):
        return function
    if freeze and dynamic_shapes is not None:
        raise ArgumentError("compile: argument 'freeze' does not go with 'dynamic_shapes': weights are packed for "
                            "products of fixed sizes; leave one of them out")
    return Compiled(function, None if dynamic_shapes is None else Dynamic(dynamic_shapes), freeze, fullgraph)
