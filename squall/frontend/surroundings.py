"""What a function can reach: the values, modules, optimizers and Tensors its code names, found by walking it.

The walk follows the function's closure, defaults and the globals its code names, functions and methods it
calls, and of the objects met those attributes whose names occur in the code. Code of squall, NumPy and the
standard library is not walked.
"""

from __future__ import annotations

import collections
import dis
import functools
import sys
import types
from typing import Any, NamedTuple

from squall.frontend.core import Handle
from squall.frontend.guards import LARGEST, Watch, is_module, is_optimizer, is_plain, items_of
from squall.frontend.tape import Leaf

_LIBRARIES = frozenset(sys.stdlib_module_names) | {"squall", "numpy", "llvmlite", "ml_dtypes"}
_ON_TOP = frozenset(("models", "interop", "distributed", "serve", "cli"))
# Python's own classes that hold what a program puts into them as attributes.
_NAMESPACES = frozenset((("types", "SimpleNamespace"), ("argparse", "Namespace")))
_SCHEDULES = frozenset(("get_last_lr", "get_lr", "last_epoch", "_last_lr"))
_UNCALLED = frozenset(
    (
        "__init__",
        "__new__",
        "__repr__",
        "__str__",
        "__del__",
        "__reduce__",
        "__reduce_ex__",
        "__getstate__",
        "__setstate__",
        "__init_subclass__",
        "__sizeof__",
        "__dir__",
        "__deepcopy__",
        "__copy__",
    )
)
LARGEST_ARRAY = 16 << 20


def is_library(module: str | None) -> bool:
    """Whether a module is squall's, NumPy's or Python's own, whose code is not walked; what squall has on top of its
    layers (models, the command line) is written as users write and is walked like their code."""
    package, _, rest = (module or "builtins").partition(".")
    return package in _LIBRARIES and not (package == "squall" and rest.partition(".")[0] in _ON_TOP)


def holds_attributes(cls: type) -> bool:
    """Whether a program's own values can be attributes of a class's instances."""
    return not is_library(cls.__module__) or (cls.__module__, cls.__qualname__) in _NAMESPACES


class Surroundings:
    """What a function and its arguments reach.

    Args:
        function: the function to capture. arguments: flat arguments; objects among them are walked.

    Attributes:
        watch: checks of everything that is not a Tensor. modules, optimizers, tensors, random (NumPy
        generators), iterators (names): reached. names, methods: names in the code.
    """

    def __init__(self, function: Any, arguments: list[Any]):
        self.names: frozenset[str] = frozenset()
        self.methods: frozenset[str] = frozenset()
        while True:  # attributes are followed by name, and following them can bring more code
            self._start()
            self._value("the function", function)
            for value in arguments:
                if not isinstance(value, Handle) and not is_plain(value):
                    self._value("an argument", value)
            attributes, methods = self._found
            if attributes <= self.names and methods <= self.methods:
                break
            self.names, self.methods = frozenset(attributes), frozenset(methods)
        self.watch.take_structures([*self.modules, *self.optimizers, *self._leaves()])

    def _leaves(self) -> list[Leaf]:
        """What gathers the gradients of the Tensors reached, and with that their hooks."""
        return [t._edge for t in self.reached() if t._edge.__class__ is Leaf]

    def _start(self) -> None:
        self.watch = Watch()
        self.modules: list[Any] = []
        self.optimizers: list[Any] = []
        self.tensors: list[Any] = []
        self.random: list[Any] = []
        self.iterators: list[str] = []
        self._found: tuple[set[str], set[str]] = (set(), set())
        self._seen: set[int] = set()

    def _read(self, name: str, getter: Any, key: Any, value: Any) -> None:
        if isinstance(value, types.ModuleType) and is_library(value.__name__):
            return
        self.watch.readers.append((getter, key, value, name))
        if not is_plain(value):
            self._value(name, value)

    def _reads(self, key: str, value: Any) -> bool:
        """Whether the code may read an attribute: plain values are never called."""
        return key in self.names or (key in self.methods and not is_plain(value))

    # ------------------------------------------------------------ code
    def _function(self, function: types.FunctionType) -> None:
        if is_library(function.__module__):
            return
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            getter = CellReader(cell)
            self._read(name, getter, None, getter(None, None))
        names = _names(function.__code__)
        self._found[0].update(names.attributes)
        self._found[1].update(names.methods)
        for name in sorted(names.globals & function.__globals__.keys()):
            self._read(name, function.__globals__.get, name, function.__globals__[name])
        for attribute in ("__defaults__", "__kwdefaults__"):
            value = getattr(function, attribute)
            if value:
                name = f"{function.__qualname__}.{attribute}"
                self.watch.readers.append((functools.partial(getattr, function), attribute, value, name))
                for item in value.values() if isinstance(value, dict) else value:
                    if not is_plain(item):
                        self._value(f"a default of {function.__qualname__}", item)

    def _class(self, cls: type, made: bool = False) -> None:
        """Walk the methods of a class that the code calls; `made`: the code may make instances."""
        for base in cls.__mro__:
            if is_library(base.__module__):
                continue
            for key, item in list(vars(base).items()):
                implicit = key in ("forward", "backward", "setup_context") or (
                    key.startswith("__") and key not in _UNCALLED
                )
                constructor = key in ("__init__", "__new__")  # somebody's super().__init__() calls only its own
                if not (made if constructor else implicit or self._reads(key, item)):
                    continue
                function = (
                    getattr(item, "__func__", None)
                    or getattr(item, "fget", None)
                    or getattr(item, "func", None)
                    or item
                )
                if isinstance(function, types.FunctionType):
                    self._value(f"{base.__name__}.{key}", function)
                elif not key.startswith("__") and self._reads(key, item):
                    self._read(f"{base.__name__}.{key}", functools.partial(getattr, base), key, item)

    # ------------------------------------------------------------ values
    def _value(self, name: str, value: Any) -> None:
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, Handle):
            self.tensors.append(value)
            self._tensor_hooks(value)
        elif isinstance(value, types.MethodType):
            self._value("self", value.__self__)
            self._value(name, value.__func__)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, functools.partial):
            for item in (value.func, *value.args, *value.keywords.values()):
                self._value(name, item)
        elif isinstance(value, type):
            self._class(value, made=True)
        elif isinstance(value, types.ModuleType):
            self._module(name, value)
        elif isinstance(value, (list, tuple, dict, set, frozenset, collections.deque)):
            self._container(name, value)
        else:
            self._object(name, value)

    def _tensor_hooks(self, value: Any) -> None:
        edge = value._edge
        for hooks in (edge.hooks, edge.after) if edge.__class__ is Leaf else ():
            for hook in (hooks or {}).values():
                for cell in hook.__closure__ or ():
                    self._value("a hook of a tensor", cell.cell_contents)

    def _module(self, name: str, value: types.ModuleType) -> None:
        if not is_library(value.__name__):
            for key in sorted((self.names | self.methods) & vars(value).keys()):
                if self._reads(key, vars(value)[key]):
                    self._read(f"{name}.{key}", vars(value).get, key, vars(value)[key])

    def _container(self, name: str, value: Any) -> None:
        if (
            value.__class__.__module__.partition(".")[0] == "squall"
        ):  # groups of an optimizer have their fingerprint
            return
        if len(value) > LARGEST:
            self.watch.lengths.append((value, len(value), name))
            return
        items = items_of(value)
        if not isinstance(value, (tuple, frozenset)):
            self.watch.containers.append((value, items, name))
        for position, item in enumerate(items):
            if not is_plain(item):
                self._value(f"{name}[{position}]", item)

    def _object(self, name: str, value: Any) -> None:
        cls = type(value)
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.ndarray):
            if value.nbytes <= LARGEST_ARRAY:
                self.watch.arrays.append((value, value.copy(), name))
            else:
                self.watch.lengths.append((value, len(value), name))
            return
        if hasattr(cls, "bit_generator"):
            self.random.append(value)
        if hasattr(cls, "__next__"):
            self.iterators.append(name)
        if is_optimizer(value):
            self.optimizers.append(value)
        elif is_module(value):
            self.modules.append(value)
            for parameter in value.parameters():
                self._tensor_hooks(parameter)
            for part in value.modules():
                self._seen.add(id(part))
                self._attributes(name, part)
                self._class(type(part))
                for hooks in part.__dict__.get("_hooks", {}).values():
                    for hook in hooks.values():
                        self._value(f"a hook of {name}", hook)
            return
        wrapped = getattr(value, "function", None)
        if cls.__module__.startswith("squall.frontend.") and wrapped is not None:  # a compiled function
            self._value(name, wrapped)
        if holds_attributes(cls):
            self._class(cls)
            self._attributes(name, value)
        elif hasattr(value, "last_epoch") and (self.names | self.methods) & _SCHEDULES:
            self._read(f"{name}.last_epoch", vars(value).get, "last_epoch", value.last_epoch)
            self._read(f"{name}._last_lr", vars(value).get, "_last_lr", value.__dict__.get("_last_lr"))

    def _attributes(self, name: str, value: Any) -> None:
        """The attributes of an object that the code names."""
        if not holds_attributes(type(value)):
            return
        store = getattr(value, "__dict__", None)
        if store is not None:
            if not is_module(value):
                self.watch.lengths.append((store, len(store), f"the attributes of {name}"))
            for key in store.keys() & (self.names | self.methods):
                if self._reads(key, store[key]) and not (
                    is_module(value) and is_plain(store[key])
                ):  # those of modules are in their fingerprint
                    self._read(f"{name}.{key}", store.get, key, store[key])
        for base in type(value).__mro__:
            slots = vars(base).get("__slots__", ())
            for key in (slots,) if isinstance(slots, str) else slots:
                if key in self.names and hasattr(value, key):
                    self._read(f"{name}.{key}", functools.partial(getattr, value), key, getattr(value, key))

    # ------------------------------------------------------------ all Tensors reached
    def reached(self) -> list[Any]:
        """Every Tensor of the modules and optimizers, their gradients, and those read directly."""
        out = list(self.tensors)
        for module in self.modules:
            out += [*module.parameters(), *module.buffers()]
        for optimizer in self.optimizers:
            out += [p for group in optimizer.param_groups for p in group["params"]]
            out += [
                v
                for entries in getattr(optimizer, "state", {}).values()
                for v in entries.values()
                if isinstance(v, Handle)
            ]
        return list({id(t): t for t in out if t is not None}.values())


class CellReader:
    """Gives what a variable of a closure holds, or a default."""

    __slots__ = ("cell",)

    def __init__(self, cell: Any):
        self.cell = cell

    def __call__(self, _: Any, default: Any) -> Any:
        try:
            return self.cell.cell_contents
        except ValueError:
            return default


class _Names(NamedTuple):
    """Names in a function's code and the code inside it: of globals, of attributes read or set, of methods
    called."""

    globals: frozenset[str]
    attributes: frozenset[str]
    methods: frozenset[str]


@functools.lru_cache(1024)
def _names(code: types.CodeType) -> _Names:
    found: tuple[set[str], set[str], set[str]] = (set(), set(), set())
    for instruction in dis.get_instructions(code):
        name, value = instruction.opname, instruction.argval
        if name in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL"):
            found[0].add(value)
        elif name == "LOAD_METHOD" or (
            name == "LOAD_ATTR" and sys.version_info >= (3, 12) and (instruction.arg or 0) & 1
        ):
            found[2].add(value)
        elif name in ("LOAD_ATTR", "STORE_ATTR", "LOAD_SUPER_ATTR"):
            found[1].add(value)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            for names, inner in zip(found, _names(constant), strict=True):
                names |= inner
        elif isinstance(constant, str) and constant.isidentifier():  # for getattr
            found[1].add(constant)
    return _Names(*map(frozenset, found))
