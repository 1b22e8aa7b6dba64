"""Guards: what a captured program took for granted about its arguments and surroundings, as comparable values.

Arguments enter by structure, type, layout, whether they need gradients, and which of them share storage. Numbers among
them enter by value until a second value is seen; from then on they are run-time inputs. Plain values that the function
reads from closures and globals enter by value. Modules and optimizers enter by `base.epoch` and, when that moved, by a
fingerprint of their structure.
"""

from __future__ import annotations

import types
from typing import Any

from squall.base import epoch
from squall.base.errors import TraceError
from squall.frontend.core import Handle
from squall.frontend.state import local
from squall.frontend.tape import Leaf

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def argument_key(leaves: list[Any], varying: frozenset[int]) -> tuple:
    """The guarded part of flat arguments; numbers at positions in `varying` enter by type only."""
    key: list[Any] = []
    cells: dict[int, int] = {}
    for position, leaf in enumerate(leaves):
        if isinstance(leaf, Handle):
            node = leaf.node
            type = node.type
            cell, edge = leaf._cell, leaf.edge
            group = steps = None
            if cell is not None:
                group = cells.setdefault(id(cell), position)
                steps = _view_key(leaf._view)
            strides = node.buffer.strides if node.buffer is not None else None
            wants = None if edge is None else edge.__class__ is Leaf
            key.append((tuple(type.shape), type.dtype.short, strides, group, steps, wants))
        elif position in varying:
            key.append(leaf.__class__)
        else:
            key.append((leaf.__class__, leaf.hex() if leaf.__class__ is float else _identity(leaf)))
    return tuple(key)


def _view_key(view: Any) -> Any:
    if view is None:
        return None
    return tuple((op.name, attrs, tuple(n.buffer for n in extra)) for op, attrs, extra in view.steps)


def _identity(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value


def mode_key() -> tuple:
    """The thread's modes a capture depends on."""
    state = local.state
    return state.grad, state.inference, None if state.autocast is None else repr(state.autocast)


class Surroundings:
    """Closure and global values a function reads, found once by walking its code and that of functions it names."""

    def __init__(self, function: Any, arguments: list[Any]):
        self.readers: list[tuple[str, Any, Any]] = []  # (name, container, key)
        self.modules: list[Any] = []
        self._seen: set[int] = set()
        self._function(function)
        for value in arguments:
            self._value("an argument", value)

    def _function(self, function: Any) -> None:
        if isinstance(function, types.MethodType):
            self._value("self", function.__self__)
            function = function.__func__
        if not isinstance(function, types.FunctionType):
            self._value("the function", function)
            return
        if id(function) in self._seen or function.__module__.partition(".")[0] in ("squall", "numpy"):
            return
        self._seen.add(id(function))
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._read(name, cell, "cell_contents")
        names = set(function.__code__.co_names)
        for constant in function.__code__.co_consts:
            if isinstance(constant, types.CodeType):
                names |= set(constant.co_names)
        for name in sorted(names & function.__globals__.keys()):
            self._read(name, function.__globals__, name)

    def _read(self, name: str, container: Any, key: str) -> None:
        value = _fetch(container, key)
        if isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(isinstance(v, _PLAIN) for v in value)):
            self.readers.append((name, container, key))
        elif isinstance(value, (types.FunctionType, types.MethodType)):
            self._function(value)
        else:
            self._value(name, value)

    def _value(self, name: str, value: Any) -> None:
        if id(value) in self._seen or isinstance(value, (types.ModuleType, type, Handle)):
            return
        self._seen.add(id(value))
        if hasattr(value, "_modules") or hasattr(value, "param_groups"):
            self.modules.append(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._value(name, item)
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, _PLAIN):
                    self.readers.append((f"{name}[{key!r}]", value, key))
                else:
                    self._value(f"{name}[{key!r}]", item)
        elif getattr(value, "__dict__", None) and type(value).__module__.partition(".")[0] not in ("squall", "numpy"):
            for key, item in vars(value).items():
                if isinstance(item, _PLAIN):
                    self.readers.append((f"{name}.{key}", value.__dict__, key))
                else:
                    self._value(f"{name}.{key}", item)

    def values(self) -> tuple:
        """The present values, floats by bits."""
        out = []
        for _, container, key in self.readers:
            value = _fetch(container, key)
            out.append((value.__class__, value.hex() if value.__class__ is float else _identity(value)))
        return tuple(out)

    def changed_during(self, before: tuple) -> None:
        """TraceError when the function itself changed a value it is guarded by: later calls would not repeat that."""
        for (name, _, _), old, new in zip(self.readers, before, self.values(), strict=True):
            if old != new:
                raise TraceError(f"the compiled function changed {name!r} from {old[1]!r} to {new[1]!r} while it was captured; later "
                                 "calls would not repeat that. Keep the counter in a Tensor, or change it outside.")

    def fingerprint(self) -> tuple:
        """The structure of the modules and optimizers the function can reach."""
        if not self.modules:
            return (epoch.structure,)
        return tuple(_structure(m) for m in self.modules)


def _fetch(container: Any, key: Any) -> Any:
    try:
        return container.cell_contents if key == "cell_contents" and isinstance(container, types.CellType) else container[key]
    except (ValueError, KeyError):
        return None


def _structure(value: Any) -> tuple:
    if hasattr(value, "param_groups"):
        groups = tuple(tuple(sorted((k, _option(v)) for k, v in g.items() if k != "params")) + (tuple(map(id, g["params"])),)
                       for g in value.param_groups)
        return (id(value), groups, len(getattr(value, "state", ())), getattr(value, "structure_version", 0))
    parts = []
    for module in value.modules():
        store = module.__dict__
        plain = tuple((k, v) for k, v in store.items() if isinstance(v, _PLAIN))
        owned = tuple((k, id(t)) for kind in ("_parameters", "_buffers") for k, t in store.get(kind, {}).items())
        wants = tuple(t is not None and t.edge is not None for t in store.get("_parameters", {}).values())
        parts.append((id(module), plain, owned, wants, store.get("_hooked")))
    return tuple(parts)


def _option(value: Any) -> str:
    """How an option decides which ops are recorded: a number only by being zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return repr(value) if isinstance(value, (*_PLAIN, tuple)) else type(value).__name__
    return "zero" if value == 0 else "number"
