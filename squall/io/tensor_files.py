"""safetensors files: whole dictionaries of Tensors at once. `safe_file.py` reads them one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import squall as sq
from squall.io import atomic
from squall.io.safe_file import NAMES, SafeFile

_NAMES_IN_FILES = {ours: theirs for theirs, ours in NAMES.items()}


def save_safetensors(tensors: dict[str, Any], path: Any, metadata: dict[str, str] | None = None) -> Path:
    """Write Tensors by name to a safetensors file, atomically.

    Args:
        tensors: Tensors or arrays, such as a state dictionary. path: where. metadata: strings by name.

    Returns:
        The path.

    Raises:
        CheckpointError: when it cannot be written. TypeError: for values that are neither Tensors nor arrays.

    Example:
        >>> import os, tempfile
        >>> import squall as sq
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_safetensors({"w": sq.ones(2)}, os.path.join(folder, "w.safetensors"))
        ...     load_safetensors(path, mmap=False)["w"].tolist()
        [1.0, 1.0]
    """
    values = {name: _tensor(name, value) for name, value in tensors.items()}
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"save_safetensors: metadata holds strings, and {key!r} is {type(value).__name__}")
    # Wider elements first, so that all are aligned.
    order = sorted(values, key=lambda name: (-values[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    at = 0
    for name in order:
        value = values[name]
        size = value.numel() * value.dtype.itemsize
        kind = _NAMES_IN_FILES[value.dtype.name]
        header[name] = {"dtype": kind, "shape": [int(n) for n in value.shape], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return atomic.atomic_write(path, _pieces(text, [values[name] for name in order]))


def _tensor(name: Any, value: Any) -> Any:
    if not isinstance(name, str):
        raise TypeError(f"save_safetensors: names are strings, not {type(name).__name__}")
    if name == "__metadata__":
        raise TypeError("save_safetensors: no Tensor can be called '__metadata__'")
    if isinstance(value, sq.Tensor):
        return value
    if not hasattr(value, "__array__"):
        raise TypeError(f"save_safetensors: {name!r} is a {type(value).__name__}, expected a Tensor or an array")
    return sq.tensor(value)


def _pieces(header: bytes, values: list[Any]) -> Iterator[Any]:
    import numpy

    yield len(header).to_bytes(8, "little")
    yield header
    for value in values:
        array = numpy.ascontiguousarray(value.detach_array())
        yield array.reshape(-1).view(numpy.uint8).data if array.size else b""


def load_safetensors(path: Any, mmap: bool = True) -> dict[str, Any]:
    """The Tensors of a safetensors file by name.

    Args:
        path: the file, or the `.index.json` of a model in several files, or a folder with either. mmap: leave the
            Tensors' bytes on the disk until they are touched; writes to them stay in this process, and the file must
            not be shortened meanwhile.

    Raises:
        CheckpointError: when the file is missing, damaged, truncated or of another kind, or has a dtype that squall
            does not have.
    """
    file = SafeFile(path, mmap)
    return {name: file.get_tensor(name) for name in file}


def safetensors_metadata(path: Any) -> dict[str, str]:
    """The strings stored beside the Tensors; empty when there are none.

    Raises:
        CheckpointError: when the file is missing, damaged or of another kind.
    """
    return SafeFile(path).metadata()
