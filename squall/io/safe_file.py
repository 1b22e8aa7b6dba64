"""Lazy safetensors: the header is read at once, the bytes of a Tensor only when they are touched.

    8 bytes   length of the header, little endian
    header    JSON: for each name dtype, shape and where its bytes are
    the bytes of all Tensors, one after the other, without gaps
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from squall.base.dtypes import dtype_named, numpy_dtype
from squall.base.errors import CheckpointError
from squall.frontend.arrays import computed
from squall.frontend.core import wrap
from squall.io.atomic import read_file
from squall.io.sources import mapped
from squall.io.storages import aligned_array

HEADER_LIMIT = 100_000_000
RANK_LIMIT = 64
# Names of dtypes in the file: ours, and bits an element takes.
NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32",
    "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip
_FOREIGN_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E8M0": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
}  # fmt: skip
INDEX_SUFFIX = ".index.json"


class Entry(NamedTuple):
    """One Tensor of a file: the file's name of its dtype, its shape, and first and last byte from the file's start."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def bits(dtype: str) -> int | None:
    """How many bits an element of a dtype takes, by its name in files; None for an unknown one."""
    return 8 * dtype_named(NAMES[dtype]).itemsize if dtype in NAMES else _FOREIGN_BITS.get(dtype)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise CheckpointError("its header names something twice")
    return out


def parse(data: Any) -> tuple[dict[str, Entry], dict[str, str]]:
    """The entries and the metadata of a safetensors file.

    Raises:
        CheckpointError: naming what is wrong: the header's length, its JSON, an entry, or bytes that overlap, are
            missing, or belong to nothing.
    """
    if len(data) < 8:
        raise CheckpointError(f"it is truncated: {len(data)} bytes, and the length of its header alone has 8")
    length = int.from_bytes(data[:8], "little")
    if length > HEADER_LIMIT or length > len(data) - 8:
        raise CheckpointError(
            f"its header should have {length} bytes, and {len(data) - 8} are there: truncated or another kind"
        )
    try:
        header = json.loads(bytes(data[8 : 8 + length]).decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"its header (bytes 8 to {8 + length}) is not JSON: {str(error)[:200]}") from None
    if not isinstance(header, dict):
        raise CheckpointError("its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or any(not isinstance(v, str) for v in metadata.values()):
        raise CheckpointError("its metadata are not strings by name")
    entries = {name: _entry(name, value, 8 + length, len(data)) for name, value in header.items()}
    _check_coverage(entries, 8 + length, len(data))
    return entries, metadata


def _entry(name: str, value: Any, base: int, total: int) -> Entry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"the entry {name[:200]!r} of its header does not have dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    numbers = [*shape, *offsets] if isinstance(shape, list) and isinstance(offsets, list) else [None]
    if any(type(n) is not int or not 0 <= n < 1 << 62 for n in numbers) or len(offsets) != 2 or len(shape) > RANK_LIMIT:
        raise CheckpointError(f"the entry {name[:200]!r} of its header has sizes or offsets that make no sense")
    width = bits(dtype) if isinstance(dtype, str) else None
    if width is None:
        raise CheckpointError(f"the entry {name[:200]!r} of its header has the unknown dtype {str(dtype)[:40]!r}")
    start, end = base + offsets[0], base + offsets[1]
    if start > end or end > total:
        raise CheckpointError(f"{name[:200]!r} lies at bytes {start} to {end} of {total}: truncated or damaged")
    if 8 * (end - start) != prod(shape) * width:
        raise CheckpointError(
            f"{name[:200]!r} of dtype {dtype} and shape {tuple(shape)} has {end - start} bytes at byte {start}, "
            f"which should be {prod(shape) * width // 8}"
        )
    return Entry(dtype, tuple(shape), start, end)


def _check_coverage(entries: dict[str, Entry], base: int, total: int) -> None:
    at, before = base, "the header"
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != at:
            what = "overlap" if entry.start < at else "have a gap between them"
            raise CheckpointError(f"{before[:200]!r} and {name[:200]!r} {what} at byte {min(at, entry.start)}")
        at, before = entry.end, name
    if at != total:
        raise CheckpointError(f"it has {total - at} bytes after its last Tensor, which ends at byte {at}")


class SafeSlice:
    """A Tensor of a file that is indexed before it is read."""

    def __init__(self, array: Any, entry: Entry) -> None:
        self._array, self._entry = array, entry

    def get_shape(self) -> list[int]:
        """Its sizes."""
        return list(self._entry.shape)

    def get_dtype(self) -> str:
        """Its dtype as the file names it, such as "F32"."""
        return self._entry.dtype

    def __getitem__(self, index: Any) -> Any:
        import numpy

        return wrap(computed(numpy.array(self._array[index])))


class SafeFile:
    """An open safetensors file.

    Args:
        path: the file, a `.index.json` that names the files of a model in parts, or a folder that holds one. mmap:
            leave the Tensors' bytes on the disk until they are touched. They are changed only in this process when
            somebody writes to them; the file must not be shortened meanwhile.

    Raises:
        CheckpointError: naming what is wrong with the file or with one of its parts.

    Example:
        >>> import os, tempfile
        >>> import squall as sq
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = os.path.join(folder.name, "w.safetensors")
        >>> _ = sq.io.save_safetensors({"w": sq.arange(6).view(2, 3)}, path)
        >>> with sq.io.safe_open(path) as file:
        ...     file.keys(), file.get_slice("w")[:, 1].tolist()
        (['w'], [1, 4])
        >>> folder.cleanup()
    """

    def __init__(self, path: Any, mmap: bool = True) -> None:
        self.path, self._mapped = Path(path), mmap
        self._files: dict[Path, tuple[Any, dict[str, Entry], dict[str, str]]] = {}
        self._where: dict[str, Path] = {}
        found = self.path
        if found.is_dir():
            found = _index_in(found)
        if found.name.endswith(INDEX_SUFFIX):
            for name, file in shards(found).items():
                if name not in self._open(file)[1]:
                    raise CheckpointError(f"{found} says that {name[:200]!r} is in {file.name}, and it is not")
                self._where[name] = file
        else:
            self._where = dict.fromkeys(self._open(found)[1], found)

    def _open(self, path: Path) -> tuple[Any, dict[str, Entry], dict[str, str]]:
        if path not in self._files:
            data = mapped(path) if self._mapped else bytearray(read_file(path))
            try:
                self._files[path] = (data, *parse(data))
            except CheckpointError as error:
                raise CheckpointError(f"{path} cannot be loaded as safetensors: {error}") from None
        return self._files[path]

    def keys(self) -> list[str]:
        """The names of the Tensors."""
        return list(self._where)

    def metadata(self) -> dict[str, str]:
        """The strings stored beside the Tensors; of a model in parts, those of all parts."""
        return {key: value for _, _, metadata in self._files.values() for key, value in metadata.items()}

    def entry(self, name: str) -> Entry:
        """dtype, shape and place of a Tensor."""
        return self._find(name)[1]

    def _find(self, name: str) -> tuple[Any, Entry]:
        if name not in self._where:
            raise CheckpointError(f"{self.path} holds no Tensor {name!r}")
        data, entries, _ = self._files[self._where[name]]
        return data, entries[name]

    def _array(self, name: str) -> Any:
        data, entry = self._find(name)
        if entry.dtype not in NAMES:
            raise CheckpointError(f"{self.path}: {name!r} has dtype {entry.dtype}, which squall does not have")
        raw = memoryview(data)[entry.start : entry.end]
        return aligned_array(raw, numpy_dtype(dtype_named(NAMES[entry.dtype]))).reshape(entry.shape)

    def get_tensor(self, name: str) -> Any:
        """A Tensor; its bytes are read when they are touched.

        Raises:
            CheckpointError: when there is none of that name, or of a dtype squall does not have.
        """
        return wrap(computed(self._array(name)))

    def get_slice(self, name: str) -> SafeSlice:
        """A Tensor to be indexed: only what is asked for is read."""
        return SafeSlice(self._array(name), self.entry(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def __enter__(self) -> SafeFile:
        return self

    def __exit__(self, *error: Any) -> None:
        """Forget the files; Tensors that were given out keep theirs."""
        self._files.clear()
        self._where.clear()


def safe_open(path: Any, framework: str | None = None, device: Any = "cpu", *, mmap: bool = True) -> SafeFile:
    """Open a safetensors file, or a model in several, without reading its Tensors.

    Args:
        path: as SafeFile's. framework, device: accepted as the safetensors package does; Tensors are squall's, on the
            CPU. mmap: as SafeFile's.
    """
    return SafeFile(path, mmap)


def _index_in(folder: Path) -> Path:
    """The index, or else the only safetensors file, of a folder."""
    found = sorted(folder.glob(f"*.safetensors{INDEX_SUFFIX}")) or sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        raise CheckpointError(f"{folder} holds {len(found)} safetensors files without an index, and one is expected")
    return found[0]


def shards(path: Path) -> dict[str, Path]:
    """Which file of a model in parts holds which Tensor, by its index.

    Raises:
        CheckpointError: when the index is damaged, or names a file outside of its own folder.
    """
    try:
        index = json.loads(read_file(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be loaded: it is not JSON: {str(error)[:200]}") from None
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict):
        raise CheckpointError(f"{path} cannot be loaded: it has no weight_map")
    found = {}
    for name, file in names.items():
        if not isinstance(file, str) or Path(file).name != file or "\\" in file or file in ("", ".", ".."):
            raise CheckpointError(
                f"{path} cannot be loaded: {name[:200]!r} is in {str(file)[:200]!r}, not a file beside it"
            )
        found[name] = path.parent / file
    return found
