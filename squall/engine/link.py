"""Building a plan's programs: kernel keys to addresses, all new kernels of a plan compiled together."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from squall.backends.cpu.build import assembly_of, compile_functions
from squall.backends.cpu.table import table_for
from squall.backends.cpu.target import host_target
from squall.backends.python.execute import Executor
from squall.backends.ssa_text import write
from squall.base import config, trace
from squall.compiler.spec import Spec
from squall.ir.plan import ChooseStep, ContractStep, KernelStep, LoopStep, Plan
from squall.ir.unwritten import AnyProgram

LONG = 50_000.0  # cycles of a plan's calls of a kernel: beyond, the code it runs decides how long the first run takes


def link(plan: Plan, backend: str) -> dict[Any, Any]:
    """What runs each kernel of the plan, by key: an address, or for the python backend an executor."""
    return build(_programs(plan), backend, _short(plan) if config.get("hurry") else ())


def _programs(plan: Plan) -> dict[Any, AnyProgram]:
    """The programs of a plan and of the plans its steps run, by key."""
    programs: dict[Any, AnyProgram] = {}
    for step in plan.steps:
        if isinstance(step, KernelStep):
            programs[step.key] = step.program
            programs.update((word.value, word.value) for word in step.words if word.kind == "kernel")
        elif isinstance(step, ContractStep) and step.epilogue is not None:
            programs[step.epilogue] = step.epilogue
        elif isinstance(step, (LoopStep, ChooseStep)):
            for inner in (step.plan,) if isinstance(step, LoopStep) else step.plans:
                programs.update(_programs(inner))
    return programs


def _short(plan: Plan) -> set[Any]:
    """Keys of the kernels, those of contractions apart, that take no time to speak of wherever the plan runs them."""
    cycles: dict[Any, float] = {}
    for step in plan.steps:
        if isinstance(step, KernelStep) and isinstance(step.key, Spec):
            known = isinstance(step.units, int) and isinstance(step.cycles, int) and step.cycles
            cycles[step.key] = cycles.get(step.key, 0) + (step.units * step.cycles if known else LONG)
    return {key for key, total in cycles.items() if total < LONG}


def build(programs: dict[Any, AnyProgram], backend: str, hurried: Collection[Any] = ()) -> dict[Any, Any]:
    """Addresses (or executors) of programs by key; `hurried` as in `compile_functions`."""
    if not programs:
        return {}
    if backend == "python":
        return {key: Executor(program) for key, program in programs.items()}
    target = host_target()
    table = table_for(target.architecture, target.features)

    def text_of(program: AnyProgram) -> Callable[[], str]:
        return lambda: _shown(program, write(program, table))

    texts = {key: (text_of(program), (program.entry,)) for key, program in programs.items()}
    found = compile_functions(texts, hurried=hurried)
    return {key: found[key][program.entry] for key, program in programs.items()}


def _shown(program: AnyProgram, text: str) -> str:
    """The LLVM text of a kernel that is in no cache, printed on its way as `SQUALL_DEBUG` asks."""
    trace.debug(4, text)
    if config.get("debug") >= 5:
        trace.debug(5, assembly_of(text, (program.entry,)))
    return text
