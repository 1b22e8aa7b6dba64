"""Guards: what a captured program took for granted about its surroundings, checked before each call.

`Watch` is a flat list of checks. Values the function reads from closures, globals, defaults and attributes
are compared by identity, plain ones also by value; containers item by item; arrays by content. Modules and
optimizers enter by a fingerprint of their structure, compared only when `base.epoch` moved. `surroundings.py`
finds what to watch.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any

from squall.base import epoch
from squall.frontend.tape import Leaf

PLAIN = (bool, int, float, complex, str, bytes, type(None))
MISSING = object()
LARGEST = 10000  # longer containers are watched by identity and length


def is_plain(value: Any) -> bool:
    """Whether a value is compared by value: a number, text or None, or a tuple of such."""
    return value.__class__ in PLAIN or (value.__class__ is tuple and all(is_plain(v) for v in value))


def same_value(a: Any, b: Any) -> bool:
    """Whether two plain values have one class and one set of bits."""
    if a is b:
        return True
    if a.__class__ is not b.__class__:
        return False
    if a.__class__ is float:
        return a.hex() == b.hex()
    if a.__class__ is tuple:
        return len(a) == len(b) and all(same_value(x, y) for x, y in zip(a, b, strict=True))
    return a.__class__ in PLAIN and a == b


class Watch:
    """The checks of one program.

    Attributes:
        readers: (getter, key, value, name): `getter(key, default)` must still give the value.
        containers: (container, items, name). lengths: (container, length, name). arrays: (array, copy, name).
        structures: (object, fingerprint of it). pins: keeps alive what fingerprints know by id.
    """

    __slots__ = ("arrays", "containers", "epoch", "lengths", "pins", "readers", "structures")

    def __init__(self) -> None:
        self.readers: list[tuple[Callable, Any, Any, str]] = []
        self.containers: list[tuple[Any, tuple, str]] = []
        self.lengths: list[tuple[Any, int, str]] = []
        self.arrays: list[tuple[Any, Any, str]] = []
        self.structures: list[tuple[Any, tuple]] = []
        self.pins: list[Any] = []
        self.epoch = -1

    def holds(self) -> bool:
        """Whether everything is as it was at capture."""
        for getter, key, value, _ in self.readers:
            now = getter(key, MISSING)
            if now is not value and not same_value(now, value):
                return False
        if self.epoch != epoch.structure:
            if self._changed_structure() is not None:
                return False
            self.epoch = epoch.structure
        if self.lengths or self.containers or self.arrays:
            return self._changed_container() is None
        return True

    def _changed_structure(self) -> Any:
        for value, before in self.structures:
            if fingerprint(value)[0] != before:
                return value
        return None

    def _changed_container(self) -> str | None:
        for container, length, name in self.lengths:
            if len(container) != length:
                return name
        for container, items, name in self.containers:
            now = items_of(container)
            if len(now) != len(items) or not (all(map(is_, now, items)) or all(map(same_value, now, items))):
                return name
        for array, copy, name in self.arrays:
            if not same_array(array, copy):
                return name
        return None

    def changed(self) -> str | None:
        """The name of the first thing that is not as it was, for messages."""
        for getter, key, value, name in self.readers:
            now = getter(key, MISSING)
            if now is not value and not same_value(now, value):
                return f"{name!r} from {_short(value)} to {_short(now)}"
        container = self._changed_container()
        if container is not None:
            return repr(container)
        owner = self._changed_structure()
        return None if owner is None else f"an attribute or option of {type(owner).__name__}"

    def take_structures(self, owners: list[Any]) -> None:
        """Remember the fingerprints of modules and optimizers as they are now."""
        self.structures = []
        for owner in owners:
            key, pins = fingerprint(owner)
            self.structures.append((owner, key))
            self.pins += pins
        self.epoch = epoch.structure


def _short(value: Any) -> str:
    if value is MISSING:
        return "nothing"
    text = repr(value) if is_plain(value) else f"<{type(value).__name__}>"
    return text if len(text) < 40 else text[:37] + "..."


def items_of(container: Any) -> tuple:
    """The items of a watched container: of a dict, keys and values."""
    if isinstance(container, dict):
        return (*container.keys(), *container.values())
    return tuple(container)


def same_array(array: Any, copy: Any) -> bool:
    """Whether an ndarray has the dtype, shape and bytes it had."""
    return array.dtype == copy.dtype and array.shape == copy.shape and array.tobytes() == copy.tobytes()


# ---------------------------------------------------------------- modules and optimizers
def is_module(value: Any) -> bool:
    """Whether a value is an nn.Module, without importing nn."""
    return "_modules" in getattr(value, "__dict__", ())


def is_optimizer(value: Any) -> bool:
    """Whether a value is an optimizer."""
    return "param_groups" in getattr(value, "__dict__", ())


def fingerprint(value: Any) -> tuple[tuple, list]:
    """What decides which ops a module or optimizer records, as a comparable tuple; and objects it knows by
    id."""
    pins: list[Any] = [value]
    if value.__class__ is Leaf:
        return (tuple(value.hooks or ()), tuple(value.after or ())), pins
    if is_optimizer(value):
        return (*_options(value, pins), *_state(value, pins)), pins
    parts: list[Any] = []
    for module in value.modules():
        store = module.__dict__
        pins.append(module)
        parts.append(id(module))
        for key, item in store.items():
            if key in ("_parameters", "_buffers"):
                for name, tensor in item.items():
                    parts.append((name, id(tensor), tensor is not None and tensor._edge is not None))
                    pins.append(tensor)
            elif key == "_hooks":
                parts.append(tuple(tuple(hooks) for hooks in item.values()))
            elif key != "_modules":
                parts.append((key, _mark(item, pins)))
    return tuple(parts), pins


def _mark(value: Any, pins: list) -> Any:
    if is_plain(value):
        return value.__class__.__name__, value.hex() if value.__class__ is float else value
    if value.__class__ in (dict, set):
        return len(value)
    pins.append(value)
    return id(value)


def _options(value: Any, pins: list) -> tuple:
    out = []
    for group in value.param_groups:
        pins += [group, *group["params"]]
        kinds = tuple((k, _option(v)) for k, v in group.items() if k != "params")
        out.append((id(group), tuple(map(id, group["params"])), kinds))
    return tuple(out)


def _option(value: Any) -> Any:
    """How an option decides which ops are recorded: a number only by being zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return repr(value) if is_plain(value) else type(value).__name__
    return "zero" if value == 0 else "number"


def _state(value: Any, pins: list) -> tuple:
    out = []
    for parameter, entries in getattr(value, "state", {}).items():
        if not entries:  # asked for and not begun
            continue
        pins += [parameter, *entries.values()]
        out.append((id(parameter), *((k, _mark(v, pins)) for k, v in entries.items())))
    return tuple(out)


def options_of(value: Any) -> list[dict]:
    """Copies of an optimizer's groups, to see whether a function changes them."""
    return [dict(group) for group in value.param_groups]


def state_of(value: Any) -> dict:
    """A copy of an optimizer's state, two levels deep."""
    return {parameter: dict(entries) for parameter, entries in getattr(value, "state", {}).items()}
