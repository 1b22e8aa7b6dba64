"""`squall info FILE`: what a file of tensors holds, read without its tensors."""

from __future__ import annotations

import argparse
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import squall as sq
from squall import io
from squall.base.errors import CheckpointError
from squall.cli.console import Console
from squall.io import numpy_files
from squall.io.safe_file import bits
from squall.io.sources import mapped
from squall.io.zip_files import STORED, ZipReader

TEXT_LIMIT = 60
DEPTH_LIMIT = 50


class Entry(NamedTuple):
    """One tensor: name, shape, dtype and bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    size: int


class Contents(NamedTuple):
    """What a file holds: its format, tensors, and other values as text."""

    format: str
    tensors: list[Entry]
    values: dict[str, str]


def _safetensors(path: Path) -> Contents:
    file, entries = io.safe_open(path), []
    for name in file:
        entry = file.entry(name)
        size = prod(entry.shape) * (bits(entry.dtype) or 0) // 8
        entries.append(Entry(name, entry.shape, entry.dtype, size))
    return Contents("safetensors", entries, {key: _text(value) for key, value in file.metadata().items()})


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 3] + "..."


def _walk(value: Any, prefix: str, tensors: list[Entry], values: dict[str, str], depth: int = 0) -> None:
    """Tensors and other values of nested data by dotted name."""
    if isinstance(value, sq.Tensor):
        size = value.numel() * value.dtype.itemsize
        tensors.append(Entry(prefix, tuple(value.shape), value.dtype.name, size))
        return
    inside = list(value.items()) if isinstance(value, dict) else None
    if isinstance(value, (list, tuple)) and any(isinstance(item, (sq.Tensor, dict, list, tuple)) for item in value):
        inside = list(enumerate(value))
    if inside and depth < DEPTH_LIMIT:
        for key, item in inside:
            _walk(item, f"{prefix}.{key}" if prefix else str(key), tensors, values, depth + 1)
    else:
        values[prefix] = _text(value)


def _nested(kind: str, value: Any) -> Contents:
    tensors: list[Entry] = []
    values: dict[str, str] = {}
    _walk(value, "", tensors, values)
    return Contents(kind, tensors, values)


def _array(name: str, data: Any) -> Entry:
    dtype, _, shape, _ = numpy_files.parse_header(data)
    return Entry(name, shape, dtype.name, prod(shape) * dtype.itemsize)


def _npz(archive: ZipReader) -> Contents:
    tensors = []
    for name, member in archive.members.items():
        data = archive.window(member) if member.method == STORED else archive.read(member)
        tensors.append(_array(name.removesuffix(".npy"), data))
    return Contents("npz", tensors, {})


def contents(path: Any) -> Contents:
    """What a file holds, told by its first bytes: safetensors (also in parts), PyTorch, NumPy, squall's checkpoints.

    Raises:
        CheckpointError: when it is missing, damaged, or of none of these kinds.
    """
    path = Path(path)
    if path.is_dir() or path.name.endswith(".index.json"):
        return _safetensors(path)
    data = mapped(path)
    start = bytes(data[:16])
    if start.startswith(b"SQUALLCK"):
        saved = io.read_checkpoint(path)
        return _nested("squall checkpoint", {name: value for name, value in vars(saved).items() if value is not None})
    if start.startswith(numpy_files.MAGIC):
        try:
            return Contents("npy", [_array("array", data)], {})
        except CheckpointError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from None
    if start.startswith(b"PK\x03\x04"):
        try:
            archive = ZipReader(data)
            if archive.members and all(name.endswith(".npy") for name in archive.members):
                return _npz(archive)
        except CheckpointError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from None
        return _nested("PyTorch, zip", sq.load(path, mmap=True))
    if len(start) > 9 and start[8:9] == b"{":
        return _safetensors(path)
    return _nested("PyTorch, legacy", sq.load(path, mmap=True))


def amount(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def run(options: argparse.Namespace, console: Console) -> int:
    """Show names, shapes, dtypes and bytes, and the totals."""
    found = contents(options.file)
    elements = sum(prod(entry.shape) for entry in found.tensors)
    size = sum(entry.size for entry in found.tensors)
    if options.json:
        tensors = [{**entry._asdict(), "shape": list(entry.shape)} for entry in found.tensors]
        console.record(
            file=str(options.file), format=found.format, tensors=tensors, values=found.values, parameters=elements,
            bytes=size,
        )  # fmt: skip
        return 0
    if found.tensors:
        rows = [
            (entry.name, " x ".join(map(str, entry.shape)) or "scalar", entry.dtype, amount(entry.size))
            for entry in found.tensors
        ]
        console.table(f"{options.file}: {found.format}", rows, ("name", "shape", "dtype", "bytes"))
    if found.values:
        console.table("other values", list(found.values.items()), ("name", "value"))
    count = len(found.tensors)
    console.print(f"{count} tensor{'s' * (count != 1)}, {elements:,} elements, {amount(size)} ({found.format})")
    return 0
