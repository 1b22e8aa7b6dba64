"""safetensors files, through the safetensors library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import squall as sq
from squall.base.errors import CheckpointError
from squall.io import atomic
from squall.io.tree import array_from

# Names of dtypes in the file, and ours.
_NAMES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "safetensors files need the safetensors package: pip install 'squall[io]'"
        ) from None
    return safetensors


def save_safetensors(tensors: dict[str, Any], path: Any, metadata: dict[str, str] | None = None) -> Path:
    """Write Tensors by name to a safetensors file, atomically.

    Args:
        tensors: Tensors or arrays, such as a state dictionary. path: where. metadata: strings by name.

    Returns:
        The path.

    Raises:
        CheckpointError: when it cannot be written. TypeError: for values that are neither Tensors nor arrays.
            ImportError: without the safetensors package.

    Example:
        >>> import os, tempfile
        >>> import squall as sq
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_safetensors({"w": sq.ones(2)}, os.path.join(folder, "w.safetensors"))
        ...     load_safetensors(path)["w"].tolist()
        [1.0, 1.0]
    """
    import numpy

    library = _library()
    plain = {}
    for name, value in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"save_safetensors: names are strings, not {type(name).__name__}")
        if not isinstance(value, sq.Tensor):
            if not hasattr(value, "__array__"):
                raise TypeError(
                    f"save_safetensors: {name!r} is a {type(value).__name__}, expected a Tensor or an array"
                )
            value = sq.tensor(value)
        array = value.detach_array()
        plain[name] = array if array.flags.c_contiguous else numpy.ascontiguousarray(array)
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(
                f"save_safetensors: metadata holds strings, and {key!r} is {type(value).__name__}"
            )
    return atomic.atomic_write(path, library.numpy.save(plain, metadata=metadata or None))


def load_safetensors(path: Any) -> dict[str, Any]:
    """The Tensors of a safetensors file by name.

    Raises:
        CheckpointError: when the file is missing, damaged, truncated or of another kind. ImportError: without
        the package.
    """
    library, data = _library(), atomic.read_file(path)
    try:
        entries = library.deserialize(data)
    except library.SafetensorError as error:
        raise CheckpointError(
            f"{path} cannot be loaded as safetensors: it is damaged, truncated or of another kind ({error})"
        ) from None
    out = {}
    for name, entry in entries:
        if entry["dtype"] not in _NAMES:
            raise CheckpointError(f"{path}: {name!r} has dtype {entry['dtype']}, which squall does not have")
        out[name] = sq.tensor(
            array_from(memoryview(entry["data"]), _NAMES[entry["dtype"]], tuple(entry["shape"]))
        )
    return out


def safetensors_metadata(path: Any) -> dict[str, str]:
    """The strings stored beside the Tensors; empty when there are none."""
    data = atomic.read_file(path)
    length = int.from_bytes(data[:8], "little")
    try:
        return json.loads(data[8 : 8 + length]).get("__metadata__", {}) if length <= len(data) - 8 else {}
    except (ValueError, AttributeError):
        raise CheckpointError(f"{path} cannot be loaded as safetensors: its header is not JSON") from None
