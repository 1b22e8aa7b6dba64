"""Writing a file so that its name always holds the old or the new contents, never a part.

The contents go to a temporary name in the same folder, are forced to the disk, and then take the name in one
step.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from squall.base.errors import CheckpointError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "the folder does not exist",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.EISDIR: "it is a folder",
    errno.EFBIG: "the file would be too large",
    errno.EIO: "the disk reported an error",
}


def reason(error: OSError) -> str:
    """What an operating system error means, in words."""
    return _REASONS.get(error.errno or 0) or error.strerror or str(error)


def atomic_write(path: Any, contents: bytes | Iterable[bytes] | Callable[[BinaryIO], Any]) -> Path:
    """Write a file completely or not at all.

    Args:
        path: where; its folder must exist. contents: bytes, pieces of bytes, or a function that writes to an
        open file.

    Returns:
        The path.

    Raises:
        CheckpointError: when it cannot be written, saying why. Whatever was there before is untouched.

    Example:
        >>> import tempfile, os
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     atomic_write(os.path.join(folder, "a"), b"whole").read_bytes()
        b'whole'
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"cannot write {path}: it is a folder")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {reason(error)}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            _write(file, contents)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _mode(path))
        os.replace(name, path)
        _sync_folder(path.parent)
    except BaseException as error:
        _remove(name)
        if isinstance(error, OSError):
            raise CheckpointError(f"cannot write {path}: {reason(error)}") from error
        raise
    return path


def _write(file: BinaryIO, contents: Any) -> None:
    if callable(contents):
        contents(file)
    elif isinstance(contents, (bytes, bytearray, memoryview)):
        file.write(contents)
    else:
        for piece in contents:
            file.write(piece)


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, or those a new file gets."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Make the new name durable where folders can be opened."""
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def _remove(name: str) -> None:
    try:
        os.unlink(name)
    except OSError:
        pass


def read_file(path: Any) -> bytes:
    """The bytes of a file; CheckpointError says why it cannot be read."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"cannot read {path}: there is no such file") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {reason(error)}") from error
