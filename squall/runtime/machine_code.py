"""LLVM text to object code, and object code to addresses: the only place that talks to llvmlite about host code.

Objects are position independent and hold no absolute address, so one compiled by another process loads as it is.
Symbols of the process (libc, libm, pthread) may be named as externals. Loaded code stays for the life of the process: a
pool thread may be running it. llvmlite is imported on the first call; where `linking` knows the objects' format it is
needed for compiling only.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from squall.base import trace
from squall.base.errors import CompileError
from squall.runtime import fork, hurry, leaving, linking
from squall.runtime.dealing import Unit, deal

# Features without which an instruction set is not used, the widest set first.
NEEDED = {"avx512": frozenset(("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "avx2", "fma", "f16c")),
          "avx2": frozenset(("avx2", "fma", "f16c"))}
# The text is already vectorised and scheduled: these few passes give the code of O2 in half the time.
SHORT_PASSES = ("sroa", "instruction_combine", "simplify_cfg")
HURRIED_PASSES, HURRIED_LEVEL = ("sroa",), 0  # less than half the time again, for code that is soon replaced

_lock = threading.RLock()
_later_lock = threading.RLock()  # of code that is made beside the program: nobody waits for it
_library_numbers = itertools.count()
_loaded: list[Any] = []  # resource trackers; dropping one would unload its code
_binding: Any = None
_jit: Any = None
_machines: dict[tuple, Any] = {}
_depth = 0  # compilations under way in the thread that holds the lock


class CodeTarget(NamedTuple):
    """What code is generated for: an LLVM triple, a processor name, and its features ("+avx2,-avx512f")."""

    triple: str
    processor: str = ""
    features: str = ""


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


def _machine(target: CodeTarget, level: int, part: int = 0, depth: int = 0) -> Any:
    """A target machine; threads that generate code at once need one each, and so does a compilation inside of another
    (`depth`): that of a signal handler, which runs while the first one's helpers go on. Depth -1 is `later`."""
    key = (target, level, part, depth)
    if key not in _machines:
        llvm = binding()
        if target.triple != llvm.get_process_triple():
            llvm.initialize_all_targets()
            llvm.initialize_all_asmprinters()
        _machines[key] = llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.processor, features=target.features, opt=level, reloc="pic", codemodel="small", jit=True)
    return _machines[key]


def _raw(name: str) -> Any:
    """A function of llvmlite's library without llvmlite's lock, so that threads can be inside LLVM at once.

    LLVM allows that for modules of different contexts; the lock is llvmlite's caution. Where llvmlite no longer
    has the attribute the locked function serves: the same results, one thread at a time.
    """
    locked = getattr(binding().ffi.lib, name)
    return getattr(locked, "_cfn", locked)


def _parse_text(text: str, context: Any, modules: list[Any]) -> Any:
    llvm = binding()
    with llvm.ffi.OutputString() as message:
        module = llvm.ModuleRef(_raw("LLVMPY_ParseAssembly")(context, text.encode(), message), context)
        modules.append(module)
        if message:
            raise CompileError(str(message))
    return module


def _emit(machine: Any, module: Any) -> bytes:
    llvm = binding()
    with llvm.ffi.OutputString() as message:
        buffer = _raw("LLVMPY_TargetMachineEmitToMemory")(machine, module, 1, message)
        if not buffer:
            raise CompileError(str(message))
    try:
        library = llvm.ffi.lib
        return ctypes.string_at(library.LLVMPY_GetBufferStart(buffer), library.LLVMPY_GetBufferSize(buffer))
    finally:
        llvm.ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


def _parse(unit: Unit, context: Any, modules: list[Any]) -> Any:
    """The module of a unit, its entries renamed and everything else private."""
    try:
        module = _parse_text(unit.text, context, modules)
    except CompileError as error:
        raise CompileError(f"LLVM rejects the text of {', '.join(unit.names) or 'a kernel'}: {error}") from None
    functions = {f.name: f for f in module.functions}
    defined = [name for name, function in functions.items() if not function.is_declaration]
    for name, function in functions.items():
        if name in unit.names:
            function.name = unit.names[name]
            function.linkage = "external"
        elif name in defined:
            function.linkage = "internal"
    missing = [name for name in unit.names if name not in functions]
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


@contextmanager
def _module(units: Sequence[Unit], machine: Any, passes: tuple[str, ...], verify: bool = False) -> Iterator[Any]:
    """One optimised module of all units, in a context of its own: nothing stays behind when it goes.

    Modules must go before their context, also when an error's traceback would keep them for the garbage collector.
    """
    modules: list[Any] = []
    context = binding().create_context()
    try:
        whole = _parse(units[0], context, modules)
        for unit in units[1:]:
            whole.link_in(_parse(unit, context, modules))
        if verify:
            try:
                whole.verify()
            except RuntimeError as error:
                raise CompileError(f"LLVM text is not valid: {error}") from None
        if passes:
            _optimize(whole, machine, passes)
        yield whole
    finally:
        for module in modules:
            module.close()
        context.close()


@leaving.run
def compile_objects(units: Sequence[Unit], target: CodeTarget, passes: tuple[str, ...] = SHORT_PASSES,
                    level: int = 2, verify: bool = False, parts: int = 1, later: bool = False) -> list[bytes]:
    """Objects that together hold all units' code.

    Args:
        units: texts; private names may repeat between them, names in the object may not.
        target: what to generate for; it need not be this machine.
        passes: names of llvmlite passes without `add_` and `_pass`, or ("O1",), ("O2",), ("O3",), or ().
        level: effort of code generation, 0 to 3. verify: check modules first.
        parts: most objects to make, each in a thread of its own.
        later: whether this runs beside compilations that the program waits for, which then do not wait for this.

    Raises:
        CompileError: for text that LLVM rejects, or that lacks an entry.
    """
    global _depth
    if later:
        with _later_lock, _module(units, _machine(target, level, 0, -1), passes, verify) as module:
            return [_emit(_machine(target, level, 0, -1), module)]
    with hurry.awaited(), _lock:
        started = time.perf_counter()
        work = deal(units, parts)
        machines = [_machine(target, level, part, _depth) for part in range(len(work))]
        blobs: list[Any] = [None] * len(work)

        def compile_part(part: int) -> None:
            try:
                with _module(work[part], machines[part], passes, verify) as module:
                    blobs[part] = _emit(machines[part], module)
            except BaseException as error:
                blobs[part] = error

        helpers = [threading.Thread(target=compile_part, args=(part,)) for part in range(1, len(work))]
        _depth += 1
        try:
            for helper in helpers:
                helper.start()
            compile_part(0)
            interrupts = _join_all(helpers)
        finally:
            _depth -= 1
        for blob in (*blobs, *interrupts):
            if isinstance(blob, BaseException):
                raise blob
        trace.count("llvm microseconds", round((time.perf_counter() - started) * 1e6))
        trace.count("objects compiled", len(blobs))
        return blobs


def _join_all(threads: Sequence[threading.Thread]) -> list[BaseException]:
    """Wait for threads in spite of Ctrl-C: they use the target machines. Returns the interrupts."""
    interrupts: list[BaseException] = []
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except KeyboardInterrupt as error:
                interrupts.append(error)
    return interrupts


def assembly(units: Sequence[Unit], target: CodeTarget, passes: tuple[str, ...] = SHORT_PASSES,
             level: int = 2) -> str:
    """The assembly text `compile_objects` would encode, to be read by people and by tests."""
    with _lock:
        machine = _machine(target, level)
        with _module(units, machine, passes) as module:
            return machine.emit_assembly(module)


@leaving.run
def load_objects(blobs: Iterable[bytes], names: Iterable[str]) -> dict[str, int]:
    """Load objects for the life of the process.

    Args:
        blobs: what `compile_objects` made for this machine. names: functions to look up.

    Returns:
        The address of each.

    Raises:
        CompileError: for a damaged object, a missing name, or an external symbol the process does not have.
    """
    blobs, names = list(blobs), list(names)
    image = linking.link(blobs)
    return load_by_llvm(blobs, names) if image is None else chosen(linking.load(image), names)


def chosen(addresses: dict[str, int], names: Iterable[str]) -> dict[str, int]:
    """The addresses of `names`; CompileError for one that is missing."""
    try:
        return {name: addresses[name] for name in names}
    except KeyError as error:
        raise CompileError(f"compiled code does not load: it has no function {error}") from None


def load_by_llvm(blobs: Iterable[bytes], names: Iterable[str]) -> dict[str, int]:
    """`load_objects` for objects that `linking` does not know, by LLVM's loader."""
    global _jit
    llvm = binding()
    with _lock:
        if _jit is None:
            _jit = llvm.create_lljit_compiler(_machine(CodeTarget(llvm.get_process_triple()), 2))
        builder = llvm.JITLibraryBuilder().add_current_process()
        for blob in blobs:
            builder.add_object_img(blob)
        for name in names:
            builder.export_symbol(name)
        try:
            library = builder.link(_jit, f"squall{next(_library_numbers)}")
        except RuntimeError as error:
            raise CompileError(f"compiled code does not load: {error}") from None
        _loaded.append(library)
        for held in (library, _jit):  # pool threads may run this code until the process ends: never unload it
            leaving.keep(held)
        return {name: library[name] for name in names}


@fork.around
def _at_rest() -> Any:
    """The lock of code made beside the program: who forks holds it, so that the child finds LLVM at rest."""
    return _later_lock


@fork.in_child
def _reset_lock() -> None:
    global _lock, _later_lock
    _lock, _later_lock = threading.RLock(), threading.RLock()
    if _binding is not None:  # another thread may have been inside llvmlite, holding its lock
        lock = getattr(_binding.ffi.lib, "_lock", None)
        if hasattr(lock, "_lock"):
            lock._lock = threading.RLock()
