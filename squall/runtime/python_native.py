"""Native functions that Python calls directly, and what native code must know of Python's objects.

A function of the object that `native_language` text compiles to becomes a builtin function or a method of a class,
which Python calls in 50 ns (a call through ctypes takes ten times that). Where slots lie in an object is found out by
storing into one and looking; `supported` tells whether this interpreter's objects are as native code takes them to be.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import sysconfig
from typing import Any

from squall.runtime import leaving

_FAST, _KEYWORDS, _NO_ARGUMENTS, _ONE = 0x80, 0x02, 0x04, 0x08
_OBJECT_WORDS = 2  # reference count and class


class _Definition(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int),
                ("doc", ctypes.c_char_p)]


def _definition(name: str, address: int, flags: int, doc: str | None) -> Any:
    made = _Definition(name.encode(), address, flags, doc.encode() if doc else None)
    return ctypes.addressof(leaving.keep(made))  # functions point to it, also when they go


def function(name: str, address: int) -> Any:
    """A builtin function over `object *f(module, object **arguments, count)`."""
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
    return make(_definition(name, address, _FAST, None), None, None)


def bound_function(name: str, address: int, held: Any) -> Any:
    """A builtin function without arguments over `object *f(held, nothing)`, which keeps an object alive."""
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
    return make(_shared_definition(name, address), id(held), None)


@functools.lru_cache
def _shared_definition(name: str, address: int) -> Any:
    return _definition(name, address, _NO_ARGUMENTS, None)


def method(owner: type, name: str, address: int, arguments: str, doc: str | None = None) -> Any:
    """A method of a class over `object *f(self, ...)`.

    Args:
        arguments: "none" for f(self, nothing), "one" for f(self, argument), "keywords" for
            f(self, arguments, count, names).
    """
    make = ctypes.pythonapi.PyDescr_NewMethod
    make.restype, make.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.c_void_p]
    flags = {"none": _NO_ARGUMENTS, "one": _ONE, "keywords": _FAST | _KEYWORDS}[arguments]
    return make(owner, _definition(name, address, flags, doc))


def offset_of(cls: type, slot: str) -> int:
    """The byte offset of a slot in instances of a class, found by looking; -1 when it cannot be told.

    Example:
        >>> class Point:
        ...     __slots__ = ("x", "y")
        >>> offset_of(Point, "y") - offset_of(Point, "x")
        8
    """
    probe, mark = object.__new__(cls), object()
    words = cls.__basicsize__ // 8
    seen = (ctypes.c_size_t * words).from_address(id(probe))
    before = seen[:]
    cls.__dict__[slot].__set__(probe, mark)
    places = [i for i in range(_OBJECT_WORDS, words) if seen[i] == id(mark)]
    if len(places) != 1 or before[places[0]] != 0:
        return -1
    return 8 * places[0]


def layouts() -> dict[str, int]:
    """Where the number of items and the items of a tuple, and the pointer to those of a list, lie, in bytes, found by
    looking; nothing of it where that cannot be told.

    Example:
        >>> layouts()["VAR_SIZE"]
        16
    """
    marks = [object(), object(), object()]
    wanted = [id(m) for m in marks]
    made, listed = tuple(marks), list(marks)
    words = (ctypes.c_size_t * (tuple.__basicsize__ // 8 + 3)).from_address(id(made))[:]
    at = [i for i in range(_OBJECT_WORDS, len(words) - 2) if words[i:i + 3] == wanted]
    head = (ctypes.c_size_t * (list.__basicsize__ // 8)).from_address(id(listed))[:]
    if len(at) != 1 or len(head) <= _OBJECT_WORDS + 1 or head[_OBJECT_WORDS] != 3 or words[_OBJECT_WORDS] != 3:
        return {}
    if (ctypes.c_size_t * 3).from_address(head[_OBJECT_WORDS + 1])[:] != wanted:
        return {}
    return {"VAR_SIZE": 8 * _OBJECT_WORDS, "TUPLE_ITEMS": 8 * at[0], "LIST_ITEMS": 8 * (_OBJECT_WORDS + 1)}


def supported() -> bool:
    """Whether this interpreter's objects begin with a reference count and their class, and one lock guards them."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    if ctypes.sizeof(ctypes.c_void_p) != 8 or sys.byteorder != "little":
        return False
    probe = object()
    head = (ctypes.c_uint32 * 4).from_address(id(probe))
    held = []
    for _ in range(3):
        expected = len(held) + 1
        if head[0] != expected:
            return False
        held.append(probe)
    return (ctypes.c_size_t * 2).from_address(id(probe))[1] == id(object)
