"""LLVM text to object code, and object code to addresses: the only place that talks to llvmlite about host code.

Objects are position independent and hold no absolute address, so one compiled by another process loads as it is;
loading never parses LLVM text. Symbols of the process (libc, libm, pthread) may be named as externals. Loaded code
stays for the life of the process: a pool thread may be running it. llvmlite is imported on the first call.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from squall.base import trace
from squall.base.errors import CompileError
from squall.runtime import fork

# The text is already vectorised and scheduled, so a short list replaces O2: the same code in a quarter of the time.
SHORT_PASSES = ("sroa", "instruction_combine", "simplify_cfg")

_lock = threading.RLock()
_library_numbers = itertools.count()
_loaded: list[Any] = []  # resource trackers; dropping one would unload its code
_binding: Any = None
_jit: Any = None
_machines: dict[tuple, Any] = {}


class CodeTarget(NamedTuple):
    """What code is generated for: an LLVM triple, a processor name, and its features ("+avx2,-avx512f")."""

    triple: str
    processor: str = ""
    features: str = ""


class Unit(NamedTuple):
    """LLVM text and what its entry functions are called in the object: {name in the text: name in the object}."""

    text: str
    names: dict[str, str]


def binding() -> Any:
    """llvmlite.binding with the host's target ready."""
    global _binding
    if _binding is None:
        with _lock:
            import llvmlite.binding as llvm
            llvm.initialize_native_target()
            llvm.initialize_native_asmprinter()
            _binding = llvm
    return _binding


def compiler_version() -> str:
    """The versions of llvmlite and LLVM, a part of every disk key."""
    import llvmlite
    return f"llvmlite {llvmlite.__version__} LLVM {'.'.join(map(str, binding().llvm_version_info))}"


def host_triple() -> str:
    """The LLVM triple of this process."""
    return binding().get_process_triple()


def _machine(target: CodeTarget, level: int) -> Any:
    key = (target, level)
    if key not in _machines:
        llvm = binding()
        if target.triple != host_triple():
            llvm.initialize_all_targets()
            llvm.initialize_all_asmprinters()
        _machines[key] = llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.processor, features=target.features, opt=level, reloc="pic", codemodel="small", jit=True)
    return _machines[key]


def _parse(unit: Unit) -> Any:
    """The module of a unit, its entries renamed and everything else private."""
    llvm = binding()
    try:
        module = llvm.parse_assembly(unit.text)
    except RuntimeError as error:
        raise CompileError(f"LLVM rejects the text of {', '.join(unit.names) or 'a kernel'}: {error}") from None
    defined = {f.name: f for f in module.functions if not f.is_declaration}
    for name, function in defined.items():
        if name in unit.names:
            function.linkage = "external"
            function.name = unit.names[name]
        else:
            function.linkage = "internal"
    missing = [name for name in unit.names if name not in defined]
    if missing:
        raise CompileError(f"the text defines no {', '.join(missing)}; it defines {', '.join(defined) or 'nothing'}")
    return module


def _optimize(module: Any, machine: Any, passes: tuple[str, ...]) -> None:
    """Run passes by name; ("O2",) runs LLVM's own pipeline of that level."""
    llvm = binding()
    level = int(passes[0][1]) if len(passes) == 1 and passes[0] in ("O1", "O2", "O3") else None
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=level or 2))
    manager = builder.getModulePassManager() if level else llvm.create_new_module_pass_manager()
    if level is None:
        for name in passes:
            getattr(manager, f"add_{name}_pass")()
    manager.run(module, builder)


def _module(units: Iterable[Unit], machine: Any, passes: tuple[str, ...], verify: bool) -> Any:
    modules = [_parse(unit) for unit in units]
    whole = modules[0]
    for module in modules[1:]:
        whole.link_in(module)
    if verify:
        try:
            whole.verify()
        except RuntimeError as error:
            raise CompileError(f"LLVM text is not valid: {error}") from None
    if passes:
        _optimize(whole, machine, passes)
    return whole


def compile_object(units: list[Unit], target: CodeTarget, passes: tuple[str, ...] = SHORT_PASSES,
                   level: int = 2, verify: bool = False) -> bytes:
    """One object of all units' code.

    Args:
        units: texts; private names may repeat between them, names in the object may not.
        target: what to generate for; it need not be this machine.
        passes: names of llvmlite passes without `add_` and `_pass`, or ("O1",), ("O2",), ("O3",), or ().
        level: effort of code generation, 0 to 3. verify: check the module first.

    Raises:
        CompileError: for text that LLVM rejects, or that lacks an entry.
    """
    with _lock:
        started = time.perf_counter()
        machine = _machine(target, level)
        blob = machine.emit_object(_module(units, machine, passes, verify))
        trace.count("llvm microseconds", round((time.perf_counter() - started) * 1e6))
        trace.count("objects compiled")
        return blob


def assembly(units: list[Unit], target: CodeTarget, passes: tuple[str, ...] = SHORT_PASSES, level: int = 2) -> str:
    """The assembly text `compile_object` would encode, to be read by people and by tests."""
    with _lock:
        machine = _machine(target, level)
        return machine.emit_assembly(_module(units, machine, passes, verify=False))


def load_object(blob: bytes, names: Iterable[str]) -> dict[str, int]:
    """Load an object for the life of the process.

    Args:
        blob: what `compile_object` made for this machine. names: functions to look up.

    Returns:
        The address of each.

    Raises:
        CompileError: for a damaged object, a missing name, or an external symbol the process does not have.
    """
    global _jit
    names = list(names)
    llvm = binding()
    with _lock:
        if _jit is None:
            _jit = llvm.create_lljit_compiler(_machine(CodeTarget(host_triple()), 2))
        builder = llvm.JITLibraryBuilder().add_object_img(blob).add_current_process()
        for name in names:
            builder.export_symbol(name)
        try:
            library = builder.link(_jit, f"squall{next(_library_numbers)}")
        except RuntimeError as error:
            raise CompileError(f"compiled code does not load: {error}") from None
        _loaded.append(library)
        return {name: library[name] for name in names}


@fork.in_child
def _reset_lock() -> None:
    global _lock
    _lock = threading.RLock()
