"""Making the native flush and the native methods of Tensor: once a machine, and only in programs that profit.

Their sources are `engine/native_walk.py`, `engine/native_run.py` and `native_methods.py` here, in the language of
`runtime.native_language`. Here they get what they know of Python: offsets of slots, objects by name, addresses. The
Python functions they stand for stay what is specified, and what is used wherever this cannot be:
`SQUALL_BACKEND=numpy` or `python`, interpreters whose objects lie otherwise, machines LLVM has no code for.
"""

from __future__ import annotations

import ctypes
from typing import Any

from squall.base import config, dtypes, epoch, trace
from squall.base.dtypes import DType, bool_, float32, float64, int64
from squall.base.errors import SquallError
from squall.compiler.work import dense_dim
from squall.engine import native_memory, native_run, native_walk, ready, realize
from squall.engine.overwriting import beside_others, gates
from squall.frontend import (
    binding,
    bound,
    calling,
    core,
    entries,
    exporting,
    guards,
    jit,
    known_backward,
    known_calls,
    known_views,
    native_arrays,
    native_backward,
    native_bound,
    native_calls,
    native_captured,
    native_compiled,
    native_gathering,
    native_guards,
    native_indexing,
    native_methods,
    native_operators,
    native_record,
    native_views,
    native_writing,
    tape,
)
from squall.frontend.cell import Cell
from squall.frontend.core import Handle
from squall.frontend.evaluation import Place, own_files, pressure, user_place
from squall.frontend.number import OtherNumberError
from squall.frontend.size import Size
from squall.frontend.state import ThreadState, local
from squall.frontend.tape import FREED, NEW, WALKED, GradRecord, Leaf
from squall.frontend.tensor import Tensor
from squall.frontend.views import View
from squall.ir.node import Node, SharedType, TensorType, tensor_type
from squall.ir.op import NON_DIFFERENTIABLE, Op, ops
from squall.runtime import fork, host, leaving, machine_code, native_language
from squall.runtime.buffer import Buffer
from squall.runtime.memory import Block, allocate
from squall.runtime.native import native
from squall.runtime.objects import ObjectStore, Request
from squall.runtime.python_native import bound_function, function, layouts, method, offset_of, supported

_SOURCES = (native_walk, native_memory, native_run, native_methods, native_record, native_views, native_indexing,
            native_backward, native_operators, native_writing, native_calls, native_captured,
            native_guards, native_compiled, native_bound, native_gathering, native_arrays)
_CLASSES = (Op, DType, Node, TensorType, Buffer, Block, Handle, Cell, View, GradRecord, Leaf, ThreadState, ready.Ready,
            calling.CallSlots, calling.Call, guards.Watch, bound.Bound)
CALL_SLOTS, CALL_SLOT = 256, 16  # places for calls met again, see `native_calls.py`; words of each
_NUMBERS = {
    "ERROR": 0, "DONE": 1, "UNHANDLED": 2, "MORE": 3, "EMPTY": 4,
    **{name: i for i, name in enumerate((
        "TABLE", "MASK", "ORDER", "USES", "STACK", "TARGETS", "OUTPUTS", "CAPACITY", "COUNT", "SIZE", "WANTED",
        "INPUTS", "SCALARS", "ARENA", "VALUES", "READY_AT", "GARBAGE", "STRIDED", "ARENA_AT", "PIECE", "PIECE_OF",
        "BRIEF", "SHARED"))},
    "NUMBER": (1 << 32) - 1, "ROOT": 1 << 40, "ob_type": 8,
    **{name: getattr(ready, name) for name in (
        "SMALL_BYTES", "SLAB_BYTES", "MIDDLE_SHIFT", "MIDDLE_STEP", "LISTED_BYTES", "SMALL_KINDS", "ALL_KINDS")},
    "READY_IMAGES": ready.READY_IMAGES, "READY_OUTPUTS": ready.READY_OUTPUTS, "READY_ARENA": ready.READY_ARENA,
    "READY_WORDS": ready.READY_WORDS, "READY_REST": ready.READY_REST, "READY_SHARED": ready.READY_SHARED,
    "PLACED": ready.PLACED,
    **{f"BOUND_{name}": getattr(bound, name) for name in (
        "BUSY", "IMAGES", "WITH_LOCK", "VALUES_AT", "STATUS_AT", "WATCHED", "REST")},
    **{f"EXPORT_{name}": getattr(exporting, name) for name in ("NEW_ARRAY", "SET_BASE", "CLASS", "RANK", "DIMS")},
    "ARRAY_FLAGS": 0x501,  # NumPy's for an array that is row-major, aligned and may be written
    "FLOAT_ONE": 0x3FF0000000000000,  # the bits of 1.0
    "CALL_SLOTS": CALL_SLOTS, "CALL_SLOT": CALL_SLOT,
}  # fmt: skip
_thread_cache = leaving.keep((ctypes.c_int64 * 2)(-1, 0))
_call_cache = leaving.keep((ctypes.c_int64 * (CALL_SLOTS * CALL_SLOT))())
_small = leaving.keep(ready.SmallMemory())  # memory given back last finds its list


def _offsets() -> dict[str, int]:
    """The offset of every slot of the classes native code looks into."""
    found = {f"{cls.__name__}_{slot}": offset_of(cls, slot)
             for cls in _CLASSES for slot in cls.__slots__ if slot != "__weakref__"}
    if min(found.values()) < 0:
        raise SquallError("slots of this interpreter's objects cannot be found")
    return found


def _objects() -> dict[str, Any]:
    """What native code knows by name: objects, all of which live as long as the process."""
    lock = realize.graphs_lock()
    return {
        "NONE": None, "TRUE": True, "FALSE": False, "ZERO": 0, "ONE": 1, "TWO": 2, "EMPTY_TUPLE": (), "TUPLE": tuple,
        "FLOAT": float, "INT": int, "BOOL": bool, "STR": str, "LIST": list, "EXCEPTION": Exception,
        "FLOAT_HEX": float.hex, "DENSE_DIM": dense_dim,
        "NODE": Node, "TENSOR": Tensor, "TENSOR_TYPE": TensorType, "CELL": Cell, "GRAD_RECORD": GradRecord,
        "SHARED_TYPE": SharedType, "BLOCK": Block, "BUFFER": Buffer,
        "NEW": NEW, "WALKED": WALKED, "FREED": FREED, "SCALAR": ops.scalar, "BUFFER_OP": ops.buffer,
        "CONSTANT": ops.constant,
        "TEXT_FLOAT": "float", "TEXT_BOOL": "bool", "TEXT_SCALAR": "scalar", "TEXT_ROWS": "rows",
        "TEXT_DONATE": "donate", "TEXT_STATE": "state", "TEXT_FLUSHES": "flushes", "LOCAL": local,
        "GATES": gates, "LISTENERS": trace.listeners, "BESIDE_OTHERS": beside_others,
        "KNOBS": config._values, "CODE_KEY": config._code_key, "COUNTERS": trace.counters,
        "READY": ready.plans.entries, "SLAB": _small.slab, "ALLOCATE": allocate,
        "ACQUIRE": lock.acquire, "RELEASE": lock.release,
        "DICT": dict, "EPOCH": vars(epoch), "TEXT_STRUCTURE": "structure", "DEFAULT_DTYPE": dtypes._default,
        "LEAF_CLASSES": jit._leaf_classes, "MISSING": guards.MISSING, "WATCH_HOLDS": guards.Watch.holds,
        "CHANGED_CONTAINER": guards.Watch._changed_container, "OTHER_NUMBER": OtherNumberError, "NO_NUMBERS": [],
        "CALL_RESULTS": calling.results, "CALL_STOPPED": calling.stopped,
        "BOUND_AGAIN": bound.Bound._again, "BOUND_BUSY_ERROR": bound.Bound._busy, "BOUND_STOPPED": bound.Bound._stopped,
        "PYTHON_CALL": _python_call,
        **{name: getattr(calling, name) for name in (
            "READ_DICT", "READ_CELL", "READ_ATTRIBUTE", "READ_SLOT", "NUMBER_FIXED", "NUMBER_ARGUMENT", "NUMBER_READ")},
        "FLOAT32": float32, "FLOAT64": float64, "INT64": int64, "BOOL_TYPE": bool_,
        "KNOWN": core._known, "SCALAR_TYPES": core._scalar_types, "SAVINGS": tape._savings, "KEEPING": core._keeping,
        "NON_DIFFERENTIABLE": NON_DIFFERENTIABLE, "PRESSURE": pressure,
        "OP_ADD": ops.add, "OP_SUB": ops.sub, "OP_MUL": ops.mul, "OP_DIV": ops.div,
        "OP_TAKE": ops.take, "OP_INDEX": ops.index, "FIRST_DIM": (0,),
        "FIRST_DIMS": tuple([(tuple(range(n)),) for n in range(5)]),
        "POSITION_TYPES": {n: tensor_type((n,), int64) for n in range(1, 1025)},
        "OP_PICK": ops.pick, "OP_EXPAND": ops.expand, "OP_UPDATE_SLICE": ops.update_slice, "TWO_EMPTY": ((), ()),
        "EXPORTS": exporting.known, "TAKE_BACK": exporting.take_back,
        "TEXT_ALPHA": "alpha", "CALLS": known_calls.known, "LEARN_CALL": known_calls.learn,
        "ELLIPSIS": ..., "SLICE": slice, "SIZE": Size, "TEXT_EMPTY": "", "TEXT_NO_GRAD": "no_grad", "VIEW": View,
        "VIEWS": known_views.known, "LEARN_VIEW": known_views.learn,
        "INPUT_ARGUMENT": binding.ARGUMENT, "INPUT_CELL": binding.CELL, "INPUT_OBJECT": binding.OBJECT,
        "INPUT_CONSTANT": binding.CONSTANT,
        "AS_GIVEN": entries.as_given, "USER_PLACE": user_place, "OWN_FILES": own_files,
        "PLACE": Place, "TEXT_FILE": "co_filename",
        "LEAF": Leaf, "KNOWN_BACKWARD": known_backward.known,
        "GRADIENT_PLACE": known_backward.gradient_place,
        "INT64_TYPE": known_views.INT64_TYPE,
        **{f"PYTHON_{entry.upper().removeprefix('AS_')}": _function(name) for name, (entry, _) in _METHODS.items()},
    }  # fmt: skip


_python_call = jit.Compiled.__call__
_methods: dict[str, Any] = {}  # what native methods took the place of


def _python(name: str) -> Any:
    """A method of Tensor as written in Python."""
    return _methods.setdefault(name, getattr(Tensor, name))


def _function(name: str) -> Any:
    """The function in Python behind a method or property."""
    python = _python(name)
    return python.fget if isinstance(python, property) else python


_WORDS = ("SMALL", "FREE_BLOCK", "ARRAY_GONE", "RUN", "LEAVING", "NOTE", "THREAD_CACHE", "CALL_CACHE")
_METHODS = {
    "item": ("item", "none"), "__float__": ("as_float", "none"), "__bool__": ("as_bool", "none"),
    "__add__": ("add", "one"), "__radd__": ("radd", "one"), "__sub__": ("sub", "one"), "__rsub__": ("rsub", "one"),
    "__mul__": ("mul", "one"), "__rmul__": ("rmul", "one"),
    "__truediv__": ("div", "one"), "__rtruediv__": ("rdiv", "one"),
    "__iadd__": ("iadd", "one"), "__isub__": ("isub", "one"), "__imul__": ("imul", "one"),
    "__itruediv__": ("idiv", "one"),
    "zero_": ("zero_", "none"), "tolist": ("tolist", "none"), "numpy": ("numpy", "keywords"),
    **{name: (name, "keywords") for name in ("add_", "sub_", "mul_", "div_", "fill_", "copy_")},
    "__getitem__": ("getitem", "one"), "T": ("transposed", "none"), "mT": ("matrix_transposed", "none"),
    **{name: (name, "keywords") for name in (
        "reshape", "view", "permute", "transpose", "unsqueeze", "squeeze", "flatten", "expand", "unfold")},
}  # fmt: skip
_ENTRIES = ("flush", "key", "free_block", "middle_pieces", "array_gone", "record", "apply", "write", "in_place",
            "unary", "backward", "captured", "call_function", "call_compiled", "run_bound",
            *(entry for entry, _ in _METHODS.values()))
functions: dict[str, Any] = {}


def register() -> None:
    """Have `load` called when a program has met plans again."""
    ready.Native.load = load


def load() -> None:
    """Compile (or fetch) the native code and put it in place; where it cannot be made nothing changes."""
    if supported():
        try:
            _load()
        except Exception as error:
            trace.debug(1, "no native flush:", error)


def _load() -> None:
    import hashlib
    import inspect

    config.get("donate")  # read from the table of knobs by native code
    offsets, objects = _offsets(), _objects()
    sources = [inspect.getsource(module) for module in _SOURCES]
    table = (*objects, *_WORDS)
    names = {**_NUMBERS, **offsets, **layouts()}
    whole = "\0".join((*sources, inspect.getsource(native_language), repr(names), repr(table), repr(_ENTRIES)))
    key = ("native flush", hashlib.sha256(whole.encode()).hexdigest())
    store = ObjectStore("native flush", machine_code.CodeTarget(host.facts().triple), passes=("O2",))
    request = Request(lambda: native_language.translate(sources, names, table, _ENTRIES), ("set_table", *_ENTRIES))
    at = store.functions({key: request})[key]
    _tell(at, objects)
    _install(at)
    fork.in_child(lambda: _tell(at, _objects()))  # locks are new in a child


def _tell(at: dict[str, int], objects: dict[str, Any]) -> None:
    """Copy objects and addresses into the native code's table."""
    run = ctypes.cast(native().run, ctypes.c_void_p).value
    words = {"SMALL": ctypes.addressof(_small.heads), "FREE_BLOCK": at["free_block"],
             "ARRAY_GONE": at["array_gone"], "RUN": run,
             "LEAVING": ctypes.addressof(leaving.words), "NOTE": native().note,
             "THREAD_CACHE": ctypes.addressof(_thread_cache), "CALL_CACHE": ctypes.addressof(_call_cache)}
    leaving.keep(objects)
    values = [*map(id, objects.values()), *(words[name] for name in _WORDS)]
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(at["set_table"])(ctypes.byref((ctypes.c_int64 * len(values))(*values)))


def _install(at: dict[str, int]) -> None:
    functions.update(key=function("key", at["key"]))
    ready.Native.middle_pieces = function("middle_pieces", at["middle_pieces"])
    ready.Native.flush = function("flush", at["flush"])
    core.Native.record, core.Native.unary = function("record", at["record"]), function("unary", at["unary"])
    core.Native.apply, core.Native.write = function("apply", at["apply"]), function("write", at["write"])
    core.Native.backward = function("backward", at["backward"])
    core.Native.in_place = function("in_place", at["in_place"])
    core.Native.call = function("call_function", at["call_function"])
    core.Native.captured = function("captured", at["captured"])
    call: Any = method(jit.Compiled, "__call__", at["call_compiled"], "keywords", _python_call.__doc__)
    jit.Compiled.__call__ = call
    calling.NativeBound.function = lambda held: bound_function("run", at["run_bound"], held)
    for name, (entry, arguments) in _METHODS.items():
        made = method(Tensor, name, at[entry], arguments, _python(name).__doc__)
        setattr(Tensor, name, property(made, doc=made.__doc__) if isinstance(_python(name), property) else made)

