"""The way from a graph to a plan: `STAGES`, run in order over one `Compilation`.

Stages are data: a test or tool can run up to any of them, replace one, or look at what lies between. Each is timed;
`SQUALL_DEBUG=2` prints the graph as it comes and after each stage that changed it, then
groups and reasons, 3 the linear IR of kernels as they are lowered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from squall.base import config, trace
from squall.compiler import assemble, finish, fuse, inplace, keep, recompute, tasks
from squall.compiler.decompose import decompose
from squall.compiler.prepare import prepare
from squall.compiler.remake import remake
from squall.compiler.simplify import simplify
from squall.compiler.split_codes import as_codes
from squall.compiler.split_complex import split
from squall.compiler.target import machine
from squall.compiler.work import Work
from squall.ir.graph import Graph
from squall.ir.graph_text import graph_text
from squall.ir.node import Node
from squall.ir.plan import KernelStep, Plan, Request


class Compilation:
    """What stages pass on: the request, the graph's roots, then the `Work` over it, then the plan. `within` is the work
    whose graph carries this one: their value checks are numbered together."""

    def __init__(self, request: Request, within: Work | None = None):
        self.request, self.within = request, within
        self.roots: list[Node] = list(request.roots)
        self.inputs: list[Node] = list(request.inputs)
        self.work: Work | None = None
        self.plan: Plan | None = None
        self.late: dict[int, tuple[Node, Node]] = {}
        self.seconds: dict[str, float] = {}


class Stage(NamedTuple):
    """A step of the pipeline: its name and what it does to a compilation."""

    name: str
    run: Callable[[Compilation], None]


def _leaves(c: Compilation) -> list[Node]:
    return [*c.inputs, *c.request.scalars]


def _decompose(c: Compilation) -> None:
    c.roots = decompose(c.roots, _leaves(c))


def _split(c: Compilation) -> None:
    c.roots, c.inputs = split(c.roots, c.inputs)


def _codes(c: Compilation) -> None:
    c.roots, c.inputs = as_codes(c.roots, c.inputs)


def _simplify(c: Compilation) -> None:
    c.roots = simplify(c.roots, _leaves(c))


def _remake(c: Compilation) -> None:
    if config.get("fuse"):
        c.roots, c.late = remake(c.roots, _leaves(c))


def _prepare(c: Compilation) -> None:
    roots, order, copies = prepare(c.roots, c.inputs, c.request)
    where = machine()
    c.work = work = Work(c.request, roots, order, c.inputs, where.vector_bytes, where.isa)
    work.late = c.late
    work.compile = lambda request: compile_plan(request, within=work)
    if c.within is not None:
        work.nested, work.checks, work.check_numbers = True, c.within.checks, c.within.check_numbers
    for node in copies:
        c.work.keep(node)


def _keep(c: Compilation) -> None:
    keep.choose(c.work)  # type: ignore[arg-type]


def _group(c: Compilation) -> None:
    tasks.build(c.work)  # type: ignore[arg-type]


def _fuse(c: Compilation) -> None:
    fuse.fuse(c.work)  # type: ignore[arg-type]
    recompute.recompute(c.work)  # type: ignore[arg-type]


def _finish(c: Compilation) -> None:
    finish.finish(c.work)  # type: ignore[arg-type]


def _overwrite(c: Compilation) -> None:
    inplace.overwrite(c.work)  # type: ignore[arg-type]


def _lower(c: Compilation) -> None:
    c.plan = assemble.assemble(c.work)  # type: ignore[arg-type]


STAGES: tuple[Stage, ...] = (
    Stage("decompose", _decompose), Stage("split", _split), Stage("codes", _codes),
    Stage("simplify", _simplify), Stage("remake", _remake), Stage("prepare", _prepare),
    Stage("keep", _keep), Stage("group", _group), Stage("fuse", _fuse),
    Stage("finish", _finish), Stage("overwrite", _overwrite), Stage("lower", _lower),
)


def compile_plan(request: Request, stages: tuple[Stage, ...] = STAGES, within: Work | None = None) -> Plan:
    """Compile a graph to a plan.

    Args:
        request: root Nodes, and the leaves that hold buffers and scalars in binding order.
        stages: the pipeline to run. within: the compilation of the graph that carries this one, if any.

    Returns:
        Plan: steps over slots; programs are over the core instruction set.

    Raises:
        CompileError: for an op that nothing lowers.
    """
    c = Compilation(request, within)
    shown = _dump_graph(c, "recorded", "")
    for stage in stages:
        started = time.perf_counter()
        stage.run(c)
        c.seconds[stage.name] = time.perf_counter() - started
        trace.count(f"{stage.name} microseconds", round(c.seconds[stage.name] * 1e6))
        shown = _dump_graph(c, stage.name, shown)
    _dump(c)
    return c.plan  # type: ignore[return-value]


def _dump_graph(c: Compilation, stage: str, shown: str) -> str:
    """Print the graph unless it reads as when it was last shown; returns its text."""
    if config.get("debug") < 2 or c.work is not None:
        return shown
    text = graph_text(Graph((), c.roots, stage))
    if text.partition("{")[2] != shown.partition("{")[2]:
        trace.debug(2, text)
    return text


def _dump(c: Compilation) -> None:
    level = config.get("debug")
    if level >= 2 and c.plan is not None:
        trace.debug(2, "stages " + ", ".join(f"{n} {s * 1e3:.1f} ms" for n, s in c.seconds.items()))
        for line in c.plan.report:
            trace.debug(2, line)
        for step in c.plan.steps:
            trace.debug(2, f"step {step.label}: {step.units if isinstance(step, KernelStep) else ''}")


__all__: list[Any] = ["STAGES", "Compilation", "Stage", "compile_plan"]
