"""`sq.save` and `sq.load`: files that PyTorch reads and writes, without ever running what is in them.

Two layouts are read: the zip archive (`data.pkl` and one member for each storage) and the older run of pickles
followed by the storages' bytes. TorchScript archives give their tensors. The zip archive is what is written.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import squall as sq
from squall.base.errors import CheckpointError
from squall.io import atomic, legacy_files
from squall.io.pickle_arrays import DtypeState
from squall.io.pickle_names import Function, TorchNames, Unknown
from squall.io.pickle_reader import Inert, PickleReader
from squall.io.pickle_writer import PickleWriter
from squall.io.sources import contents
from squall.io.storages import Kind, Storage
from squall.io.zip_files import ZipReader, ZipWriter

FORMAT_VERSION = b"3\n"
VERSION_LIMIT = 16
BUDGET = 16  # bytes and elements that calls may copy, in sizes of the pickle
SMALL = 1 << 20
PARTS_LIMIT = 50_000_000
_FOREIGN = (
    (b"SQUALLCK", "a squall training checkpoint; use squall.io.load_checkpoint"),
    (b"\x93NUMPY", "a NumPy .npy file; use squall.io.load_npy"),
    (b"\x89HDF", "an HDF5 file"),
    (b"GGUF", "a GGUF file"),
    (b"\x1f\x8b", "a gzip file"),
)


def save(obj: Any, path: Any, *, pickle_protocol: int = 2) -> None:
    """Write an object to a file that `sq.load` and `torch.load` read, atomically.

    Args:
        obj: Tensors, numbers, strings, bytes, None, dtypes, NumPy arrays, and lists, tuples, sets and dictionaries of
            these, such as the state dictionaries of modules and optimizers. Tensors that share memory still do when
            they are loaded. path: where, or a binary file open for writing. pickle_protocol: accepted; the names in a
            file are always written in protocol 2, which every version reads.

    Raises:
        TypeError: naming the place and type of what cannot be stored. CheckpointError: when the file cannot be
            written.

    Example:
        >>> import os, tempfile
        >>> import squall as sq
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "state.pt")
        ...     sq.save({"weight": sq.ones(2, 2), "step": 3}, path)
        ...     sq.load(path)["weight"].tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    writer = PickleWriter()
    pickle = writer.write(obj)
    named = not hasattr(path, "write")
    root = Path(path).stem or "archive" if named else "archive"

    def write(file: Any) -> None:
        archive = ZipWriter(file)
        archive.add(f"{root}/data.pkl", pickle)
        archive.add(f"{root}/byteorder", sys.byteorder.encode())
        for number, array in enumerate(writer.storages()):
            archive.add(f"{root}/data/{number}", array)
        archive.add(f"{root}/version", FORMAT_VERSION)
        archive.finish()

    if named:
        atomic.atomic_write(path, write)
    else:
        write(path)


def load(path: Any, map_location: Any = None, weights_only: bool = True, mmap: bool = False) -> Any:
    """The object in a file that `sq.save` or `torch.save` wrote: Tensors and plain data. No code is ever run.

    Args:
        path: a file, or a binary file open for reading. map_location: a device; every Tensor comes to the CPU, which
            is the only one here, from whatever device it was saved. weights_only: refuse objects of classes that are
            not data; False gives inert records of them (`squall.io.Inert`) and still runs nothing. mmap: leave the
            Tensors' bytes on the disk until they are touched; writes stay in this process, and the file must not
            be shortened meanwhile.

    Returns:
        What was saved. Tensors that shared memory do so again. Parameters come back as such, `torch.Size` as
        `squall.Size`, dtypes as squall's. A TorchScript file gives an OrderedDict of its tensors by dotted name.

    Raises:
        CheckpointError: when the file is missing, damaged, truncated, of another kind, refers to anything that is
            not data (named in the message), or holds a dtype squall does not have.

    Example:
        >>> import io
        >>> import squall as sq
        >>> file = io.BytesIO()
        >>> sq.save([sq.arange(3), "three"], file)
        >>> sq.load(io.BytesIO(file.getvalue()))
        [tensor([0, 1, 2]), 'three']
    """
    _check_location(map_location)
    data, name = contents(path)
    try:
        return _load(data, not weights_only, mmap)
    except CheckpointError as error:
        raise CheckpointError(f"{name} cannot be loaded: {error}") from None


def _check_location(location: Any) -> None:
    if isinstance(location, dict) or callable(location):
        return  # they choose among devices, and there is one
    if location is not None:
        sq.zeros(0, device=location)


def _load(data: Any, inert: bool, mapped: bool) -> Any:
    start = bytes(data[:8])
    if start.startswith(b"PK\x03\x04"):
        return _Archive(data, mapped).load(inert)
    for magic, meaning in _FOREIGN:
        if start.startswith(magic):
            raise CheckpointError(f"it is not a PyTorch file but {meaning}")
    if len(data) > 9 and data[8:9] == b"{" and int.from_bytes(start, "little") < len(data):
        raise CheckpointError("it seems to be a safetensors file; use squall.io.load_safetensors")
    if not len(data):
        raise CheckpointError("it is empty")

    def read(storage: Any, at: int) -> tuple[Any, int]:
        names = TorchNames(storage, budget(len(data)), inert)
        reader = PickleReader(data, names, at)
        return checked(reader.read(), inert), reader.position

    return legacy_files.read(data, mapped, read)


def budget(size: int) -> int:
    """What the calls of a pickle of some bytes may copy."""
    return BUDGET * size + SMALL


class _Archive:
    """A zip archive that torch.save or torch.jit.save wrote."""

    def __init__(self, data: Any, mapped: bool) -> None:
        self.zip, self.mapped = ZipReader(data), mapped
        members = self.zip.members
        found = sorted((name for name in members if name == "data.pkl" or name.endswith("/data.pkl")), key=len)
        if not found:
            raise CheckpointError("it is a zip archive without data.pkl, so not a file of PyTorch")
        self.root = found[0][: -len("data.pkl")]
        self.script = f"{self.root}constants.pkl" in members
        order = self._text("byteorder", "little")
        if order not in ("little", "big"):
            raise CheckpointError(f"its byte order is {order[:20]!r}")
        self.big_endian = order == "big"
        version = self._text("version", "3")
        if not version.isdigit() or int(version) > VERSION_LIMIT:
            raise CheckpointError(f"it has format version {version[:20]!r}; up to {VERSION_LIMIT} are known")
        self._storages: dict[str, Storage] = {}

    def _text(self, name: str, default: str) -> str:
        member = self.zip.members.get(self.root + name)
        return default if member is None else self.zip.read(member, 64).decode("ascii", "replace").strip()

    def load(self, inert: bool) -> Any:
        """The object of data.pkl."""
        pickle = self.zip.window(self.zip.members[f"{self.root}data.pkl"])
        self.zip.read(self.zip.members[f"{self.root}data.pkl"])  # compares the checksum
        names = TorchNames(self._storage, budget(len(pickle)), inert or self.script)
        value = checked(PickleReader(pickle, names).read(), inert or self.script)
        return script_tensors(value) if self.script else value

    def _storage(self, key: Any) -> Storage:
        """The Storage of ("storage", type, name, device, count)."""
        if not isinstance(key, tuple) or len(key) != 5 or key[0] != "storage":
            raise CheckpointError("a persistent id is not that of a storage")
        _, kind, name, _, count = key
        if not isinstance(kind, Kind) or type(name) is not str or type(count) is not int or count < 0:
            raise CheckpointError("a storage is not described as PyTorch does")
        found = self._storages.get(name)
        if found is None:
            found = self._storages[name] = self._open(kind, name, count)
        if found.kind != kind or found.count != count:
            raise CheckpointError(f"the storage {name!r} is described twice, differently")
        return found

    def _open(self, kind: Kind, name: str, count: int) -> Storage:
        member = self.zip.members.get(f"{self.root}data/{name}") or self.zip.members.get(f"{self.root}tensors/{name}")
        if member is None:
            raise CheckpointError(f"the storage {name[:100]!r} is not in the archive")
        if member.size != count * kind.itemsize:
            raise CheckpointError(
                f"the storage {name[:100]!r} has {member.size} bytes and should have {count} of {kind.itemsize}"
            )
        self.zip.window(member)  # refuses a compressed one
        read = (lambda: self.zip.window(member)) if self.mapped else (lambda: self.zip.read(member))
        return Storage(kind, count, read, self.big_endian)


def checked(value: Any, inert: bool) -> Any:
    """The value, when nothing in it is left over from reading.

    Raises:
        CheckpointError: naming it otherwise.
    """
    todo, seen = [value], set()
    while todo:
        item = todo.pop()
        if isinstance(item, Unknown) and inert:
            continue
        if isinstance(item, (Storage, Function, Unknown, Kind, DtypeState)):
            raise CheckpointError(f"it holds {item!r} itself, which is no data that squall has")
        if isinstance(item, (list, tuple, set, frozenset, dict, Inert)):
            if id(item) in seen:
                continue
            seen.add(id(item))
            if len(seen) > PARTS_LIMIT:
                raise CheckpointError(f"it has more than {PARTS_LIMIT} containers")
            todo.extend(_inside(item))
    return value


def _inside(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    if isinstance(item, Inert):
        return [item.arguments, item.state, item.items, item.entries]
    return list(item)


def script_tensors(root: Any) -> Any:
    """The tensors below a TorchScript module by dotted name, each object visited once."""
    found: dict[str, Any] = {}
    todo, seen = [("", root)], set()
    while todo:
        prefix, item = todo.pop()
        if isinstance(item, sq.Tensor):
            found[prefix] = item
            continue
        inside = _children(item)
        if id(item) in seen or not inside:
            continue
        seen.add(id(item))
        parts = [(f"{prefix}.{name}".lstrip("."), child) for name, child in inside]
        if any(len(name) > SMALL // 1024 for name, _ in parts):
            raise CheckpointError("its modules lie too deep inside each other")
        todo.extend(reversed(parts))
    return OrderedDict(found)


def _children(item: Any) -> list[tuple[Any, Any]]:
    if isinstance(item, Inert):
        return _children(item.state)
    if isinstance(item, dict):
        return list(item.items())
    return list(enumerate(item)) if isinstance(item, (list, tuple)) else []
