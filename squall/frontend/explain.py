"""`sq.explain`: what a compiled function became, as text: captures and what guards them, kernels, what fused
and why not, tiles, layouts and memory, where values are asked for in between, and on request the code."""

from __future__ import annotations

import inspect
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from squall.base import trace
from squall.base.errors import TraceError
from squall.engine import describing
from squall.frontend import binding, by_values
from squall.frontend.arguments import Assumed
from squall.frontend.binding import Program
from squall.frontend.evaluation import flush
from squall.frontend.jit import Compiled, compile
from squall.ir.node import Node
from squall.ir.plan import HostStep

_WIDTH = 100
_OUTSIDE = ("tensor from outside", "tensors from outside")
_PLACES = {
    binding.ARGUMENT: ("argument",),
    binding.ARGUMENT_CELL: ("argument",),
    binding.OBJECT: _OUTSIDE,
    binding.CELL: _OUTSIDE,
    binding.GRAD: ("gradient",),
    binding.ARGUMENT_GRAD: ("gradient",),
    binding.CONSTANT: ("constant",),
}
_NUMBERS = {
    "argument": ("number that varies", "numbers that vary"),
    "read": ("tracked number",),
    "fixed": ("fixed number",),
}


def explain(
    function: Any, /, *args: Any, llvm: bool | str = False, assembly: bool | str = False, **kwargs: Any
) -> Any:
    """What a compiled function became.

    Args:
        function: a Compiled, or a function to compile. args, kwargs: an example call, which is run; without any, for a
            function that needs some, what comes back takes them: `explain(function)(*args)`.
        llvm, assembly: show the LLVM text or the assembly of its kernels; a string chooses those whose label holds it.

    Returns:
        str: for each capture its arguments and guards, what it reads and writes, its kernels, why others are apart,
        tiles of contractions, layouts and memory. For a function in which sizes depend on values, and which so runs in
        parts: where, for which function, and what reading them took. For one that asks for values itself, which is an
        error: where, and how often it evaluates without `compile`.

    Example:
        >>> import squall as sq
        >>> print(sq.explain(lambda x: (x * 2 + 1).relu())(sq.ones(3)).splitlines()[1].strip())
        capture 1 of 1
    """
    if not args and not kwargs and _needs_arguments(function):
        return lambda *args, **kwargs: explain(function, *args, llvm=llvm, assembly=assembly, **kwargs)
    compiled = function if isinstance(function, Compiled) else compile(function)
    try:
        result = compiled(*args, **kwargs)  # held: what nobody holds is not evaluated
    except TraceError as error:
        return "\n".join(_in_parts(compiled, error, args, kwargs))
    if compiled.reason(args, kwargs) is not None:
        flush()
        return "\n".join(_pieces(compiled, args, kwargs))
    del result
    lines = [f"{compiled.label}: {_count(compiled.captures, 'capture')}, {_count(compiled.calls, 'call')}"]
    for number, program in enumerate(compiled.programs, 1):
        lines.append(f"capture {number} of {len(compiled.programs)}")
        lines += ["  " + line for line in describe(program)]
        for wanted, code in ((llvm, describing.llvm_of), (assembly, describing.code_of)):
            if wanted:
                lines += _code(program, "" if wanted is True else wanted, code)
    return "\n".join(lines)


def _needs_arguments(function: Any) -> bool:
    """Whether a call without arguments would be an error."""
    try:
        inspect.signature(getattr(function, "function", function)).bind()
    except TypeError:
        return True
    except ValueError:  # nobody knows
        return False
    return False


def _pieces(compiled: Compiled, args: tuple, kwargs: dict) -> list[str]:
    """Where a call that runs in parts reads values, and what it takes once plans are known."""
    before, plans = (trace.counters.get(name, 0) for name in ("flushes", "plans compiled"))
    with by_values.watched() as readings:
        began = time.perf_counter()
        result = compiled(*args, **kwargs)
        flush()
        taken = time.perf_counter() - began
    parts, plans = trace.counters.get("flushes", 0) - before, trace.counters.get("plans compiled", 0) - plans
    del result
    lines, title = [f"{compiled.label}: in {_count(parts, 'part')}, {_count(compiled.calls, 'call')}"], "reads"
    for function, place in dict.fromkeys((r.function, r.place) for r in readings):
        here = [r.evaluated for r in readings if (r.function, r.place) == (function, place)]
        spent = sum(r.end - r.begin for r in readings if (r.function, r.place) == (function, place))
        often = f"{len(here)} times, " if len(here) > 1 else ""
        what = f"evaluates {_count(sum(here), 'time')}" if sum(here) else "they are there"
        lines += _wrapped(title, f"values for {function} at {place}: {often}{what}, {spent * 1e3:.3g} ms")
        title = ""
    lines += _wrapped("whole", f"{taken * 1e3:.3g} ms; {_count(plans, 'plan')} compiled in this call")
    return lines


def _in_parts(compiled: Compiled, error: TraceError, args: tuple, kwargs: dict) -> list[str]:
    """Why a function is no single program, and how often it evaluates when it runs as it is."""
    flush()
    before = trace.counters.get("flushes", 0)
    result = compiled.function(*args, **kwargs)  # held: what nobody holds is not evaluated
    flush()
    times = trace.counters.get("flushes", 0) - before
    del result
    return [
        f"{compiled.label}: not one program",
        *("  " + line for line in _wrapped("evaluated", str(error))),
        *("  " + line for line in _wrapped("as it is", f"evaluates {_count(times, 'time')} without `compile`")),
    ]


def _code(program: Program, wanted: str, code: Callable[[Any], str]) -> list[str]:
    """The code of a capture's kernels."""
    plan = getattr(program.executable, "plan", None)
    lines: list[str] = []
    for label, kernel in ({} if plan is None else describing.programs(plan, wanted)).items():
        lines += [f"  --- {label}", *code(kernel).strip().splitlines()]
    return lines


def describe(program: Program) -> list[str]:
    """The lines about one capture."""
    lines = []
    for title, text in (
        ("arguments", _arguments(program)),
        ("guards", _guards(program)),
        ("reads", _reads(program)),
        ("writes", _writes(program)),
        ("history", _history(program)),
    ):
        lines += _wrapped(title, text)
    plan = getattr(program.executable, "plan", None)
    if plan is None:
        return [
            *lines,
            *_wrapped(
                "kernels",
                "part of the plan of a flush: history passes through"
                if program.tracked is not None
                else f"none: the {type(program.executable).__name__} runs the graph",
            ),
        ]
    if program.folded is not None:
        done = Counter(program.folded.notes)
        texts = [f"{note} ({n} times)" if n > 1 else note for note, n in done.items()]
        values = _count(sum(e.code == binding.CONSTANT for e in program.inputs), "value")
        lines += _wrapped("folded", ", ".join([*texts, f"{values} computed once from weights"]))
    steps = Counter(s.label for s in plan.steps)
    lines += _wrapped(
        "kernels",
        f"{len(plan.steps)}: " + ", ".join(f"{name} x{n}" if n > 1 else name for name, n in steps.items()),
    )
    host = [s.label for s in plan.steps if isinstance(s, HostStep)]
    if host:
        lines += _wrapped("library", ", ".join(host))
    for title, chosen in (
        ("fused", _fused(plan.report)),
        ("apart", [r for r in plan.report if " apart: " in r]),
        ("also", [r for r in plan.report if " apart: " not in r and not r.endswith("in one kernel")]),
    ):
        for text, n in Counter(chosen).items():
            lines += _wrapped(title, text if n == 1 else f"{text} ({n} times)")
            title = ""
    bound = list(program.executable.bindings.values())
    sizes = bound[-1].sizes if bound else {}
    if bound:
        for title, chosen in (("tiles", describing.contractions(plan, sizes)), ("layouts", describing.layouts(plan))):
            for text, n in Counter(chosen).items():
                lines += _wrapped(title, text if n == 1 else f"{text} ({n} times)")
                title = ""
        lines += _wrapped("memory", describing.memory(plan, sizes))
    return lines


def _count(n: int, word: str, words: str = "") -> str:
    return f"{n} {word}" if n == 1 else f"{n} {words or word + 's'}"


def _wrapped(title: str, text: str) -> list[str]:
    """Text in lines of reading width behind a title column."""
    out, line = [], f"{title:<10} "
    for word in text.split():
        if len(line) + len(word) > _WIDTH and line.strip():
            out.append(line.rstrip())
            line = " " * 11
        line += word + " "
    return [*out, line.rstrip()]


def _arguments(program: Program) -> str:
    assumed: Assumed = program.arguments.assumed
    parts = []
    for position, spec in enumerate(program.arguments.specs):
        if hasattr(spec, "type"):
            text = repr(spec.type)
            if position in assumed.exact:
                text += " sharing storage, step by step"
            if position in assumed.pinned:
                text += " that very tensor"
        else:
            text = f"any {spec[0].__name__}" if spec[0] is not None else f"exactly {spec[1]!r}"[:40]
        parts.append(f"{position}: {text}")
    return "; ".join(parts) or "none"


def _guards(program: Program) -> str:
    watch = program.watch
    grad, inference = program.mode[:2]
    parts = ["inference mode" if inference else "grad mode on" if grad else "grad mode off"]
    parts += sorted({name for _, _, _, name in watch.readers})
    parts += sorted({name for *_, name in (*watch.containers, *watch.arrays, *watch.lengths)})
    parts += [f"structure of {type(owner).__name__}" for owner, _ in watch.structures]
    parts += [str(decision) for decision in program.arguments.decided]
    missing = sum(none for _, none in program.leaf_states)
    if program.leaf_states:
        parts.append(f"gradients: {missing} missing, {len(program.leaf_states) - missing} present")
    return ", ".join(parts)


def _reads(program: Program) -> str:
    places = Counter(_PLACES[entry.code] for entry in program.inputs)
    numbers = Counter(kind for kind, _ in program.scalars)
    parts = [_count(n, *words) for words, n in places.items()]
    parts += [_count(numbers[kind], *words) for kind, words in _NUMBERS.items() if numbers[kind]]
    if program.generators:
        parts.append(_count(len(program.generators), "random stream"))
    return ", ".join(parts) or "nothing"


def _writes(program: Program) -> str:
    plan = getattr(program.executable, "plan", None)
    taken = sum(o.donor is not None for o in plan.outputs) if plan is not None else 0
    parts = [_count(len(program.outputs), "output")]
    if program.writes:
        parts.append(f"{_count(len(program.writes), 'storage')}, {taken} in their own memory")
    if program.gradients:
        parts.append(_count(len(program.gradients), "gradient"))
    return ", ".join(parts)


def _history(program: Program) -> str:
    rule = program.tracked
    if rule is None:
        return "none passes through"
    kept = len(rule.forward.outputs) - rule.outputs
    backward: list[Node] = [] if rule.first is None else [n for n in rule.first.graph.order() if n.inputs]
    return f"passes through: {_count(kept, 'value')} kept for a backward of {_count(len(backward), 'op')}"


def _fused(report: tuple[str, ...]) -> list[str]:
    """The kernels that hold several ops, without the steps that led to them."""
    made = [r.removesuffix(" in one kernel") for r in report if r.endswith(" in one kernel")]
    return [
        m for i, m in enumerate(made) if not any(later.startswith(m + "+") for later in made[i + 1 : i + 2])
    ]
