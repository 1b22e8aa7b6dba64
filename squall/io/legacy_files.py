"""PyTorch's layout before zip archives: pickles one after the other, then the bytes of the storages.

    pickle   a magic number
    pickle   the version of the protocol
    pickle   what machine wrote it
    pickle   the object; its storages are named
    pickle   the storages' names in the order of the file
    for each: 8 bytes with the count of elements, then the elements

The object is read twice: first only for where it ends and which storages it names, so that at the second reading
the storages' places are known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base.errors import CheckpointError
from squall.io.pickle_reader import PickleReader
from squall.io.storages import Kind, Storage

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
KEYS_LIMIT = 1_000_000

Reading = Callable[[Callable[[Any], Any], int], tuple[Any, int]]


class _NoNames:
    """For the pickles around the object, which hold numbers, text and plain containers."""

    def find(self, module: str, name: str) -> Any:
        """Refuse."""
        raise CheckpointError(f"it refers to {f'{module}.{name}'[:200]!r} before the object begins")

    def call(self, function: Any, arguments: Any, fresh: bool) -> Any:
        """Refuse."""
        raise CheckpointError("it makes an object before the object begins")

    def build(self, instance: Any, state: Any) -> None:
        """Refuse."""
        raise CheckpointError("it sets a state before the object begins")

    def persistent(self, key: Any) -> Any:
        """Refuse."""
        raise CheckpointError("it names a storage before the object begins")


def _plain(data: Any, at: int) -> tuple[Any, int]:
    reader = PickleReader(data, _NoNames(), at)
    return reader.read(), reader.position


class _Layout:
    """The storages of a file: what the object says about them, and where their bytes are."""

    def __init__(self, data: Any, mapped: bool) -> None:
        self.data, self.mapped = data, mapped
        self.described: dict[str, tuple[Kind, int]] = {}
        self.places: dict[str, int] = {}
        self.big_endian = False
        self._storages: dict[Any, Storage] = {}

    def describe(self, key: Any) -> Storage:
        """A stand-in of right size, while the object is read for the first time."""
        kind, name, count, window = _described(key)
        if self.described.setdefault(name, (kind, count)) != (kind, count):
            raise CheckpointError(f"the storage {name!r} is described twice, differently")
        if count * kind.itemsize > len(self.data):
            raise CheckpointError(f"the storage {name!r} of {count} elements is larger than the file")
        return Storage(kind, count if window is None else window[2], None)

    def locate(self, names: Any, at: int) -> None:
        """Find the storages in the order of the file."""
        if not isinstance(names, list) or len(names) > KEYS_LIMIT:
            raise CheckpointError("the list of storages is damaged")
        for name in names:
            if type(name) is not str or name not in self.described or name in self.places:
                raise CheckpointError(f"the storage {str(name)[:100]!r} is listed, but not once in the object")
            kind, count = self.described[name]
            if at + 8 > len(self.data):
                raise CheckpointError(f"it is truncated: the storage {name!r} should begin at byte {at}")
            written = int.from_bytes(self.data[at : at + 8], "big" if self.big_endian else "little")
            end = at + 8 + count * kind.itemsize
            if written != count:
                raise CheckpointError(f"the storage {name!r} at byte {at} has {written} elements instead of {count}")
            if end > len(self.data):
                raise CheckpointError(f"it is truncated: the storage {name!r} ends at byte {end} of {len(self.data)}")
            self.places[name], at = at + 8, end

    def storage(self, key: Any) -> Storage:
        """The Storage itself, at the second reading."""
        kind, name, count, window = _described(key)
        if name not in self.places:
            raise CheckpointError(f"the storage {name!r} is not in the file")
        which = name if window is None else (name, window[0])
        found = self._storages.get(which)
        if found is None:
            start, length = (0, count) if window is None else window[1:]
            first = self.places[name] + start * kind.itemsize
            found = Storage(kind, length, self._reader(first, length * kind.itemsize), self.big_endian)
            self._storages[which] = found
        return found

    def _reader(self, first: int, size: int) -> Callable[[], Any]:
        window = memoryview(self.data)[first : first + size]
        return (lambda: window) if self.mapped else (lambda: bytearray(window))


def _described(key: Any) -> tuple[Kind, str, int, tuple[Any, int, int] | None]:
    """Type, name and count of a storage, and (name, start, count) of a window into it, from a persistent id."""
    if not isinstance(key, tuple) or len(key) not in (5, 6) or key[0] != "storage":
        raise CheckpointError("a persistent id is not that of a storage")
    _, kind, name, _, count = key[:5]
    name = str(name) if type(name) is int else name
    if not isinstance(kind, Kind) or type(name) is not str or type(count) is not int or count < 0:
        raise CheckpointError("a storage is not described as PyTorch does")
    window = key[5] if len(key) == 6 else None
    if window is not None:
        if not isinstance(window, tuple) or len(window) != 3 or any(type(n) is not int or n < 0 for n in window[1:]):
            raise CheckpointError(f"a window into the storage {name!r} is not described as PyTorch does")
        if window[1] + window[2] > count or type(window[0]) not in (str, int):
            raise CheckpointError(f"a window reaches beyond the storage {name!r}")
    return kind, name, count, window


def read(data: Any, mapped: bool, reading: Reading) -> Any:
    """The object of a file.

    Args:
        mapped: whether Tensors may lie in `data` itself. reading: reads the object, given what finds storages and
            where it begins; gives it and where it ends.

    Raises:
        CheckpointError: when the file is damaged, or of another kind.
    """
    try:
        magic, at = _plain(data, 0)
    except CheckpointError as error:
        magic, at, why = None, 0, str(error)
    else:
        why = f"it begins with {str(magic)[:40]}"
    if magic != MAGIC:
        if bytes(data[257:262]) == b"ustar":
            raise CheckpointError("it is a tar archive, the layout of PyTorch before 0.1.10; save it anew there")
        raise CheckpointError(f"it is not a file of PyTorch: {why}")
    protocol, at = _plain(data, at)
    if protocol != PROTOCOL:
        raise CheckpointError(f"it has protocol version {str(protocol)[:40]}; only {PROTOCOL} is known")
    machine, at = _plain(data, at)
    layout = _Layout(data, mapped)
    layout.big_endian = isinstance(machine, dict) and machine.get("little_endian") is False
    _, end = reading(layout.describe, at)
    names, after = _plain(data, end)
    layout.locate(names, after)
    return reading(layout.storage, at)[0]
