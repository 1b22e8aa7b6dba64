"""Nested Python data with Tensors in it as JSON and a list of arrays, and back. No code is ever stored or run.

JSON holds None, booleans, numbers (exactly), strings, lists and dictionaries with string keys as they are;
what it lacks is an object with one key that begins with "$".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import squall as sq
from squall.base.dtypes import DType, dtype_named, numpy_dtype
from squall.base.errors import CheckpointError


def encode(value: Any, arrays: list[tuple[str, Any]], where: str) -> Any:
    """The JSON form of a value; its Tensors and arrays are appended to `arrays` as (dtype name, ndarray).

    Raises:
        TypeError: naming the place and type of what cannot be stored.
    """
    if value is None or (
        isinstance(value, (bool, int, float, str)) and type(value) in (bool, int, float, str)
    ):
        return value
    if isinstance(value, sq.Tensor):
        tensor: Any = value
        arrays.append((tensor.dtype.name, tensor.detach_array()))
        return {"$tensor": len(arrays) - 1}
    if isinstance(value, DType):
        return {"$dtype": value.name}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, list):
        return [encode(item, arrays, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, tuple):
        return {"$tuple": [encode(item, arrays, f"{where}[{i}]") for i, item in enumerate(value)]}
    if isinstance(value, Mapping):
        return _encode_mapping(value, arrays, where)
    if hasattr(value, "__array__") and hasattr(value, "dtype"):
        return _encode_array(value, arrays, where)
    if isinstance(value, (bool, int, float, str)):  # a subclass such as an enumeration
        return encode(value.__class__.__mro__[-2](value), arrays, where)
    raise TypeError(
        f"{where} is a {type(value).__name__}; checkpoints hold Tensors, arrays, numbers, strings, bytes, None, "
        "and lists, tuples and dictionaries of these"
    )


def _encode_mapping(value: Mapping, arrays: list, where: str) -> Any:
    plain = all(type(key) is str and not key.startswith("$") for key in value)
    if plain:
        return {key: encode(item, arrays, f"{where}[{key!r}]") for key, item in value.items()}
    pairs = [
        [encode(key, arrays, f"a key of {where}"), encode(item, arrays, f"{where}[{key!r}]")]
        for key, item in value.items()
    ]
    return {"$dict": pairs}


def _encode_array(value: Any, arrays: list, where: str) -> Any:
    import numpy

    array = numpy.asarray(value)
    try:
        name = dtype_named(array.dtype.name).name
    except KeyError:
        raise TypeError(f"{where} is an array of dtype {array.dtype}, which squall does not have") from None
    arrays.append((name, array))
    return {"$array": len(arrays) - 1}


def decode(value: Any, arrays: list[Any]) -> Any:
    """The value of a JSON form, with the arrays put back.

    Raises:
        CheckpointError: for a form this version does not know.
    """
    if isinstance(value, list):
        return [decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    special = next((key for key in value if key.startswith("$")), None)
    if special is None:
        return {key: decode(item, arrays) for key, item in value.items()}
    inner = value[special]
    if special == "$tensor":
        return sq.tensor(arrays[inner])
    if special == "$array":
        return arrays[inner].copy()
    if special == "$tuple":
        return tuple(decode(item, arrays) for item in inner)
    if special == "$dict":
        return {decode(key, arrays): decode(item, arrays) for key, item in inner}
    if special == "$bytes":
        return base64.b64decode(inner)
    if special == "$dtype":
        return dtype_named(inner)
    raise CheckpointError(f"it holds a {special} entry, which this version of squall does not know")


def array_from(buffer: memoryview, dtype_name: str, shape: tuple[int, ...]) -> Any:
    """An ndarray of a squall dtype over bytes."""
    import numpy

    return numpy.frombuffer(buffer, dtype=numpy_dtype(dtype_named(dtype_name))).reshape(shape)
