"""Capturing a function: stand-ins in, a `Program` out that binds present buffers and writes results back.

Whatever the trace touched is put into words that hold for later calls: inputs by where they are found,
storages and gradients written, state created. What cannot be said that way is a TraceError.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base.deciding import deciding
from squall.base.errors import TraceError
from squall.frontend import binding, guards
from squall.frontend.arguments import Arguments, Assumed, StandIns
from squall.frontend.binding import Program
from squall.frontend.core import Handle
from squall.frontend.evaluation import UnknownSizeError, evaluate
from squall.frontend.parts import AssumeMoreError, Collector, mode_key
from squall.frontend.state import local
from squall.frontend.surroundings import Surroundings
from squall.frontend.tape import Leaf
from squall.frontend.tracing import Trace
from squall.ir.node import Node


def separate(tensors: list[Any]) -> None:
    """Give storages that hold one Node, as after a copy nobody has computed, Nodes of their own, so that they
    can be told apart."""
    owners: dict[int, Any] = {}
    for tensor in tensors:
        storage = tensor if tensor._cell is None else tensor._cell
        node = storage._node
        if (
            node is not None
            and node.buffer is not None
            and owners.setdefault(id(node), storage) is not storage
        ):
            storage._node = Node(node.op, (), node.attrs, node.type, node.buffer)


def _left_over(references: list, kept: Any) -> list:
    """Handles and cells that a trace made, that are alive and that the program does not give a value."""
    return [h for h in (r() for r in references) if h is not None and id(h) not in kept and not _has_value(h)]


def _has_value(held: Any) -> bool:
    """Whether a handle or cell met while tracing holds a value after all: an outside tensor that was given a cell."""
    cell = held._cell
    node = held._node if cell is None else cell._node
    return node is not None and node.buffer is not None


class Capture:
    """One capture of a function.

    Args:
        function: called once on stand-ins. leaves, structure: flat arguments; `pack` makes (args, kwargs)
        of them. assumed: see
            `Assumed`. name: for messages.
    """

    def __init__(
        self, function: Callable, leaves: list, structure: Any, pack: Callable, assumed: Assumed, name: str
    ):
        self.function, self.leaves, self.structure, self.pack = function, leaves, structure, pack
        self.assumed, self.name = assumed, name
        self.around = Surroundings(function, leaves)
        if self.around.iterators:
            raise TraceError(
                f"{name}: the function reaches the iterator {self.around.iterators[0]!r}, which would "
                "move on only while it is "
                "captured; pass what it gives as an argument"
            )
        self.reached = self.around.reached()
        evaluate(
            [t.node for t in (*self.reached, *leaves) if isinstance(t, Handle)]
        )  # other threads may have recorded some
        separate(
            [
                *self.reached,
                *(t.grad for t in self.reached if t._edge.__class__ is Leaf and t.grad is not None),
            ]
        )
        self.options = [guards.options_of(o) for o in self.around.optimizers]
        self.state = [guards.state_of(o) for o in self.around.optimizers]

    def undo_state(self) -> None:
        """Take optimizers' state back to what it was."""
        for optimizer, before in zip(self.around.optimizers, self.state, strict=True):
            for parameter in list(getattr(optimizer, "state", ())):
                if parameter not in before:
                    del optimizer.state[parameter]
                else:
                    optimizer.state[parameter].clear()
                    optimizer.state[parameter].update(before[parameter])

    def run(self) -> Program:
        """Trace the function and make the program of it. On an error, everything outside is as it was
        before."""
        trace: Any = Trace()
        stand_ins: Any = StandIns(self.leaves, self.assumed)
        trace.given = frozenset(map(id, stand_ins.values))
        mode, state = mode_key(), local.state
        switches = state.grad, state.inference, state.autocast
        drawn = _random_state(self.around.random)
        args, kwargs = self.pack(self.structure, stand_ins.values)
        try:
            try:
                try:
                    with trace, deciding(stand_ins.sizes(self.leaves)) as self.decided:
                        returned = self.function(*args, **kwargs)
                except UnknownSizeError as error:
                    _forget(error)
                    self._check_arguments(args, kwargs, stand_ins)
                    args = kwargs = None
                    raise
                if mode_key() != mode:
                    raise TraceError(
                        f"{self.name}: the function switches a mode such as set_grad_enabled for good, which later "
                        "calls would not repeat; use it as a context manager"
                    )
                self._check_arguments(args, kwargs, stand_ins)
                self._check_grads(stand_ins)
                args = kwargs = None
                outputs, out_structure = pytree.flatten(returned)
                returned = None
                if _random_state(self.around.random) != drawn:
                    raise self._drew()
                program = self._program(trace, stand_ins, outputs, out_structure)
            finally:
                outputs = returned = args = kwargs = None
                trace.restore()
                state.grad, state.inference, state.autocast = switches
                state.update()
            references = [*stand_ins.made, *trace.references()]
            stand_ins = trace = None
            self._check_left(references, program.created.keys())
            self._check_changed(program)
        except UnknownSizeError:  # the function will run as it is
            self.undo_state()
            if _random_state(self.around.random) != drawn:
                raise self._drew() from None
            references = [*stand_ins.made, *trace.references()]
            stand_ins = trace = None
            self._check_left(references, {})
            self._refuse_change(self._changed())
            raise
        except BaseException:
            self.undo_state()
            raise
        return program

    def _drew(self) -> TraceError:
        return TraceError(
            f"{self.name}: the function drew from Python's or NumPy's random numbers, which happens only once, "
            "while it is captured; use sq.rand and its like, or pass the numbers as arguments"
        )

    # ------------------------------------------------------------ what must not have happened
    def _check_arguments(self, args: Any, kwargs: Any, stand_ins: StandIns) -> None:
        after, structure = pytree.flatten((args, kwargs))
        before, structure_before = pytree.flatten(self.pack(self.structure, stand_ins.values))
        if structure != structure_before or any(a is not b for a, b in zip(after, before, strict=True)):
            raise TraceError(
                f"{self.name}: the function changes a list or dict it is given, which later calls would "
                "not repeat; return the "
                "new one instead"
            )

    def _check_grads(self, stand_ins: StandIns) -> None:
        for leaf, position in stand_ins.foreign:
            if leaf.grad is not None:
                raise TraceError(
                    f"{self.name}: backward inside the compiled function reached argument {position}, "
                    "whose history is "
                    "outside; call backward outside, or compile the whole step"
                )

    def _check_left(self, references: list, kept: Any) -> None:
        for attempt in range(2):
            escaped = _left_over(references, kept)
            if not escaped:
                return
            escaped = None  # type: ignore[assignment]
            if attempt == 0:
                gc.collect()
        escaped = _left_over(references, kept)
        what = next(
            (
                f"a traced tensor of shape {list(h.node.shape)}"
                for h in escaped
                if isinstance(h, Handle) and h.node is not None
            ),
            "a traced value",
        )
        raise TraceError(
            f"{self.name}: {what} escaped into a Python object; its value would belong to this call only. "
            "Return it from "
            "the function, or keep state in a Tensor that is written in place."
        )

    def _check_changed(self, program: Program) -> None:
        changed = self._changed_options()
        if program.created:  # state was created: the program runs once
            program.watch.structures = [s for s in program.watch.structures if not guards.is_optimizer(s[0])]
        self._refuse_change(changed or program.watch.changed())

    def _changed(self) -> str | None:
        return self._changed_options() or self.around.watch.changed()

    def _changed_options(self) -> str | None:
        changed = None
        for optimizer, before in zip(self.around.optimizers, self.options, strict=True):
            now = guards.options_of(optimizer)
            if any(
                a.keys() != b.keys()
                or any(a[k] is not b[k] and not guards.same_value(a[k], b[k]) for k in a if k != "params")
                for a, b in zip(now, before, strict=False)
            ) or len(now) != len(before):
                changed = f"the options of {type(optimizer).__name__}"
        return changed

    def _refuse_change(self, changed: str | None) -> None:
        if changed:
            raise TraceError(
                f"{self.name}: the compiled function changed {changed} while it was captured; later calls "
                "would not repeat "
                "that. Keep what changes in a Tensor written in place, or change it outside."
            )

    # ------------------------------------------------------------ making the program
    def _program(self, trace: Trace, stand_ins: StandIns, outputs: list, out_structure: Any) -> Program:
        parts = Collector(self, trace, stand_ins)
        made = parts.make(outputs, out_structure)
        arguments = Arguments(self.leaves, self.assumed, stand_ins)
        arguments.decided = tuple(self.decided.values())
        writes_arguments = any(w.code in (binding.ARGUMENT, binding.ARGUMENT_CELL) for w in made.writes)
        outside = frozenset(
            id(held) for handle, _, cell in made.handles for held in (handle, cell) if held is not None
        )
        if made.writes:
            met = frozenset(
                i
                for i, v in enumerate(self.leaves)
                if isinstance(v, Handle)
                and i not in self.assumed.pinned
                and (id(v) in outside or (v._cell is not None and id(v._cell) in outside))
            )
            if met:
                raise AssumeMoreError(pinned=met)
        arguments.guard_sharing(self.leaves, writes_arguments, outside if made.writes else frozenset())
        watch = self.around.watch
        self._watch_options(watch, trace)
        tracked = parts.tracked(outputs, made)
        return Program(made, arguments, watch, self.structure, tracked)

    def _watch_options(self, watch: guards.Watch, trace: Trace) -> None:
        """Guard by value the options that were read as plain numbers by code that is not squall's."""
        own = "param_groups" in self.around.names
        for optimizer in self.around.optimizers:
            if own or not type(optimizer).__module__.startswith("squall."):
                for group in optimizer.param_groups:
                    for key, value in group.items():
                        if guards.is_plain(value) and (id(group), key) not in trace.numbers:
                            watch.readers.append(
                                (group.get, key, value, f"the option {key} of {type(optimizer).__name__}")
                            )


def _forget(error: BaseException | None) -> None:
    """Let go of the values that the frames of an error hold, and functions these frames ran."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _random_state(generators: list) -> tuple:
    """The state of Python's and NumPy's global generators, and of NumPy generators the function reaches."""
    out: list[Any] = []
    for name in ("random", "numpy.random"):
        module = sys.modules.get(name)
        if module is not None:
            state = module.getstate() if name == "random" else module.get_state()  # type: ignore[attr-defined]
            out.append(repr([s.tobytes() if hasattr(s, "tobytes") else s for s in state]))
    return (*out, *(repr(g.bit_generator.state) for g in generators))
