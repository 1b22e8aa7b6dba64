"""The checkpoint file: magic, version, lengths, checksum, a JSON header, and the arrays.

    8 bytes   magic
    4 bytes   format version, little endian as all numbers
    8 bytes   length of the header
    8 bytes   length of the data
    32 bytes  SHA-256 of header and data
    header    JSON: the tree, and dtype, shape and position of each array
    data      the arrays, each at a multiple of 64 bytes from the start of the data

Reading checks all of it before anything is used, and says what is wrong with a file that is not whole or not
ours.
"""

from __future__ import annotations

import hashlib
import json
import struct
from math import prod
from pathlib import Path
from typing import Any

from squall.base.dtypes import dtype_named
from squall.base.errors import CheckpointError
from squall.io import atomic
from squall.io.tree import array_from, decode, encode

MAGIC = b"SQUALLCK"
VERSION = 1
_FIXED = struct.Struct("<8sIQQ32s")
_ALIGNMENT = 64
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive, as PyTorch's torch.save writes; export it to safetensors"),
    (b"\x80", "a pickle, which squall does not open because it can run code"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"GGUF", "a GGUF file"),
    (b"\x1f\x8b", "a gzip file"),
)


def write(path: Any, tree: dict[str, Any], kind: str) -> Path:
    """Write a tree of Python data and Tensors atomically.

    Raises:
        TypeError: naming the entry that cannot be stored. CheckpointError: when the file cannot be written.
    """
    import numpy

    arrays: list[tuple[str, Any]] = []
    encoded = encode(tree, arrays, "checkpoint")
    entries, pieces, position = [], [], 0
    for dtype, array in arrays:
        entries.append({"dtype": dtype, "shape": list(array.shape), "at": position})
        raw = numpy.ascontiguousarray(array).tobytes()
        padding = -len(raw) % _ALIGNMENT
        pieces += [raw, b"\0" * padding]
        position += len(raw) + padding
    header = json.dumps({"kind": kind, "tree": encoded, "arrays": entries}, separators=(",", ":")).encode()
    checksum = hashlib.sha256(header)
    for piece in pieces:
        checksum.update(piece)
    start = _FIXED.pack(MAGIC, VERSION, len(header), position, checksum.digest())
    return atomic.atomic_write(path, [start, header, *pieces])


def read(path: Any, kind: str) -> dict[str, Any]:
    """The tree of a file of one kind.

    Raises:
        CheckpointError: naming what is wrong: missing, empty, foreign, of a newer version, truncated, or
        damaged.
    """
    data = atomic.read_file(path)
    try:
        return _parse(data, kind)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be loaded: {error}") from None


def _parse(data: bytes, kind: str) -> dict[str, Any]:
    if not data.startswith(MAGIC):
        raise CheckpointError(_foreign(data))
    if len(data) < _FIXED.size:
        raise CheckpointError(f"it is truncated: {len(data)} bytes, and its head alone has {_FIXED.size}")
    _, version, header_length, data_length, checksum = _FIXED.unpack_from(data)
    if version > VERSION:
        raise CheckpointError(
            f"it has format version {version}, and this squall reads up to {VERSION}; use a newer squall"
        )
    expected = _FIXED.size + header_length + data_length
    if len(data) < expected:
        raise CheckpointError(f"it is truncated: {len(data)} of {expected} bytes")
    if len(data) > expected:
        raise CheckpointError(f"it has {len(data) - expected} bytes after its end")
    body = memoryview(data)[_FIXED.size :]
    if hashlib.sha256(body).digest() != checksum:
        raise CheckpointError("it is damaged: its checksum does not match its contents")
    header = json.loads(bytes(body[:header_length]))
    if header["kind"] != kind:
        raise CheckpointError(f"it is a {header['kind']}, not a {kind}")
    arrays = [_array(body[header_length:], entry) for entry in header["arrays"]]
    return decode(header["tree"], arrays)


def _array(data: memoryview, entry: dict[str, Any]) -> Any:
    dtype, shape = entry["dtype"], tuple(entry["shape"])
    length = prod(shape) * dtype_named(dtype).itemsize
    return array_from(data[entry["at"] : entry["at"] + length], dtype, shape)


def _foreign(data: bytes) -> str:
    """What a file that does not begin with our magic seems to be."""
    if not data:
        return "it is empty"
    if len(data) < len(MAGIC) and MAGIC.startswith(data):
        return f"it is truncated: {len(data)} bytes"
    for start, meaning in _FOREIGN:
        if data.startswith(start):
            return f"it is not a squall checkpoint but seems to be {meaning}"
    if len(data) > 9 and data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return (
            "it is not a squall checkpoint but seems to be a safetensors file; use squall.io.load_safetensors"
        )
    return f"it is not a squall checkpoint: it begins with {data[:8]!r}"
