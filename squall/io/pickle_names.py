"""The names a PyTorch pickle may use, and what each makes: a table of squall's own functions, nothing imported.

Each function checks the types of what it is given, because a damaged or hostile file gives it anything.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import squall as sq
from squall.base.dtypes import EVERY, DType, dtype_named
from squall.base.errors import CheckpointError
from squall.io import pickle_arrays
from squall.io.pickle_reader import Inert, check_key
from squall.io.storages import KINDS, Kind, Storage, rebuild

TENSOR_LIMIT = 500_000
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


class Function:
    """A global that may be called: its name and what it makes of its arguments."""

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name, self.make = name, make

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Unknown:
    """A global of no meaning here, where the caller asked for inert objects instead of a refusal."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}, not loaded>"


def _expect(value: Any, types: type | tuple[type, ...], what: str) -> Any:
    if not isinstance(value, types):
        raise CheckpointError(f"{what} is a {type(value).__name__}")
    return value


# ---------------------------------------------------------------- tensors
def _require(tensor: Any, wanted: Any) -> Any:
    if type(wanted) is bool and wanted and tensor.dtype.is_floating_point:
        tensor.requires_grad_(True)
    return tensor


def _tensor_1(storage: Any, offset: Any, size: Any, stride: Any) -> Any:
    return rebuild(storage, offset, size, stride)


def _tensor_2(storage: Any, offset: Any, size: Any, stride: Any, grad: Any = False, hooks: Any = None,
              metadata: Any = None) -> Any:
    return _require(rebuild(storage, offset, size, stride), grad)


def _tensor_3(storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any,
              metadata: Any = None) -> Any:
    if isinstance(dtype, Kind):
        raise CheckpointError(f"a tensor has dtype {dtype.name}, which squall does not have")
    return _require(rebuild(storage, offset, size, stride, _expect(dtype, DType, "the dtype of a tensor")), grad)


def _parameter(data: Any, grad: Any = True, hooks: Any = None, state: Any = None) -> Any:
    _expect(data, sq.Tensor, "the data of a parameter")
    return sq.nn.Parameter(data, requires_grad=bool(grad) and data.dtype.is_floating_point)


def _of_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    if not isinstance(function, Function) or function.name not in _REBUILDERS:
        raise CheckpointError(f"a tensor is rebuilt by {function!r}")
    return function.make(*_expect(arguments, tuple, "the arguments of a tensor"))


def _size(sizes: Any = ()) -> Any:
    sizes = _expect(sizes, (tuple, list), "a size")
    return sq.Size(_expect(n, int, "a size") for n in sizes)


def _device(kind: Any, index: Any = None) -> Any:
    _expect(kind, str, "a device")
    return sq.device(kind if index is None else f"{kind}:{_expect(index, int, 'the number of a device')}")


# ---------------------------------------------------------------- containers
def _pairs(value: Any) -> list[tuple[Any, Any]]:
    pairs = list(value.items()) if isinstance(value, dict) else list(_expect(value, (list, tuple), "a mapping"))
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise CheckpointError("an entry of a mapping is not a pair")
        check_key(pair[0])
    return [tuple(pair) for pair in pairs]


def _members(items: Any) -> list[Any]:
    items = list(_expect(items, (list, tuple, set, frozenset), "the members of a set"))
    for item in items:
        check_key(item)
    return items


def _counter(items: Any = ()) -> Counter:
    counter: Counter = Counter()
    for key, value in _pairs(items):
        counter[key] = value
    return counter


def _default_dict(factory: Any = None, items: Any = ()) -> defaultdict:
    made = None if factory is None else _FACTORIES.get(getattr(factory, "name", ""))
    if factory is not None and made is None:
        raise CheckpointError(f"a defaultdict whose defaults are made by {factory!r}")
    return defaultdict(made, _pairs(items))


def _complex(real: Any = 0, imaginary: Any = 0) -> complex:
    return complex(_expect(real, (int, float), "a number"), _expect(imaginary, (int, float), "a number"))


def _sequence(kind: type) -> Callable[..., Any]:
    def make(items: Any = ()) -> Any:
        return kind(_expect(items, (list, tuple, set, frozenset), f"what a {kind.__name__} is made of"))

    return make


def _bytearray(data: Any = b"", encoding: Any = None) -> bytearray:
    if encoding is not None:
        data = encoded(data, encoding)
    return bytearray(_expect(data, (bytes, bytearray), "what a bytearray is made of"))


def encoded(text: Any, encoding: Any = "utf-8") -> bytes:
    """Bytes that an old pickle holds as text, one character a byte."""
    if encoding not in ("latin1", "latin-1"):
        raise CheckpointError(f"bytes in the encoding {str(encoding)[:40]!r}")
    return _expect(text, str, "bytes").encode("latin-1")


def _bytes(data: Any = b"") -> bytes:
    return bytes(_expect(data, (bytes, bytearray), "what bytes are made of"))


def _scalar(kind: type) -> Callable[..., Any]:
    def make(value: Any = 0) -> Any:
        return kind(_expect(value, (int, float) if kind is not str else str, f"a {kind.__name__}"))

    return make


def _slice(*bounds: Any) -> slice:
    for bound in bounds:
        _expect(bound, (int, type(None)), "the bound of a slice")
    return slice(*bounds)


_FACTORIES: dict[str, Callable] = {
    f"{module}.{kind.__name__}": kind
    for module in ("builtins", "__builtin__")
    for kind in (int, float, str, list, dict, set, tuple, bool)
} | {"collections.OrderedDict": OrderedDict}
_BUILTINS: dict[str, Callable[..., Any]] = {
    "set": lambda items=(): set(_members(items)),
    "frozenset": lambda items=(): frozenset(_members(items)),
    "dict": lambda items=(): dict(_pairs(items)),
    "list": _sequence(list),
    "tuple": _sequence(tuple),
    "complex": _complex,
    "bytearray": _bytearray,
    "bytes": _bytes,
    "int": _scalar(int),
    "float": _scalar(float),
    "bool": _scalar(bool),
    "str": _scalar(str),
    "slice": _slice,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": lambda items=(): OrderedDict(_pairs(items)),
    "collections.Counter": _counter,
    "collections.defaultdict": _default_dict,
    "_codecs.encode": encoded,
    "torch._utils._rebuild_tensor": _tensor_1,
    "torch._utils._rebuild_tensor_v2": _tensor_2,
    "torch._utils._rebuild_tensor_v3": _tensor_3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch.Size": _size,
    "torch.device": _device,
    **{f"{module}.{name}": make for module in ("builtins", "__builtin__") for name, make in _BUILTINS.items()},
    **pickle_arrays.FUNCTIONS,
}
_REBUILDERS = {name for name in _FUNCTIONS if name.startswith("torch._utils.")}
# Values rather than functions: dtypes, the types of storages, and Tensor's class, which only `_of_type` names.
_CONSTANTS: dict[str, Any] = {
    **{f"torch.{dtype.name}": dtype for dtype in EVERY},
    **{f"torch.{name}": dtype_named(name) for name in ("half", "float", "double", "short", "int", "long")},
    **{f"torch.{kind.name}": kind for kind in KINDS.values() if kind.dtype is None},
    **{f"torch.{name}": kind for name, kind in KINDS.items()},
    **{f"torch.cuda.{name}": kind for name, kind in KINDS.items()},
    "torch.storage.UntypedStorage": KINDS["UntypedStorage"],
    "torch.Tensor": Unknown("torch.Tensor"),
    "torch._C._TensorBase": Unknown("torch.Tensor"),
}


class TorchNames:
    """What a PyTorch pickle may refer to.

    Args:
        storage: the Storage of a persistent id. budget: how many elements and bytes the calls may copy in all.
            inert: whether objects of unknown classes become inert records instead of being refused.
    """

    def __init__(self, storage: Callable[[Any], Storage], budget: int, inert: bool = False) -> None:
        self._storage, self._inert = storage, inert
        self._left, self._tensors = budget, TENSOR_LIMIT

    def find(self, module: str, name: str) -> Any:
        """What a global stands for."""
        full = f"{module}.{name}"
        if full in _FUNCTIONS:
            return Function(full, _FUNCTIONS[full])
        if full in _CONSTANTS:
            return _CONSTANTS[full]
        if self._inert:
            return Unknown(full)
        raise CheckpointError(
            f"it refers to {full[:200]!r}, which is not one of the names that squall knows to be data; nothing of it "
            "was run or loaded"
        )

    def call(self, function: Any, arguments: tuple, fresh: bool) -> Any:
        """What an allowed global makes of its arguments."""
        if isinstance(function, Unknown):
            return Inert(function.name, arguments)
        if not isinstance(function, Function):
            raise CheckpointError(f"it calls a {type(function).__name__}")
        self._spend(arguments)
        self._tensors -= function.name in _REBUILDERS
        if self._tensors < 0:
            raise CheckpointError(f"it holds more than {TENSOR_LIMIT} tensors")
        try:
            return function.make(*arguments)
        except TypeError as error:
            raise CheckpointError(f"{function.name} got arguments that do not fit: {error}") from None

    def _spend(self, values: Any) -> None:
        """Count what a call copies: a small file could otherwise ask for the same large value again and again."""
        if isinstance(values, tuple):
            self._left -= sum(len(v) for v in values if isinstance(v, _SIZED))
        if self._left < 0:
            raise CheckpointError("it copies its contents more often than any real file does")

    def build(self, instance: Any, state: Any) -> None:
        """Put a state into what `call` made; of a dictionary, only the `_metadata` of state dictionaries."""
        self._spend(state)
        if isinstance(instance, Inert):
            instance.state = state
        elif isinstance(instance, OrderedDict):
            if isinstance(state, dict) and isinstance(state.get("_metadata"), dict):
                instance._metadata = state["_metadata"]  # type: ignore[attr-defined]
        elif not pickle_arrays.set_state(instance, state) and not isinstance(instance, sq.Tensor):
            raise CheckpointError(f"it puts a state into a {type(instance).__name__}")

    def persistent(self, key: Any) -> Any:
        """The Storage of a persistent id."""
        return self._storage(key)
