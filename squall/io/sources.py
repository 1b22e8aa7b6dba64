"""Where bytes of a file come from: read into memory, mapped from the disk, or an open file object."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

from squall.base.errors import CheckpointError
from squall.io.atomic import read_file, reason


def mapped(path: Any) -> Any:
    """The bytes of a file, read from the disk when they are touched; writes to them stay in this process.

    Raises:
        CheckpointError: saying why it cannot be opened.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            if path.stat().st_size == 0:
                return bytearray()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FileNotFoundError:
        raise CheckpointError(f"cannot read {path}: there is no such file") from None
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise CheckpointError(f"cannot read {path}: {why}") from error


def contents(source: Any, map_it: bool = True) -> tuple[Any, str]:
    """The bytes of a path or an open binary file, and what messages call it.

    Args:
        map_it: whether a path's file is mapped instead of read.
    """
    if hasattr(source, "read"):
        data = source.read()
        if not isinstance(data, (bytes, bytearray)):
            raise TypeError(f"load: the file gives {type(data).__name__}; open it in binary mode")
        return data, str(getattr(source, "name", "the file"))
    return (mapped(source) if map_it else read_file(source)), str(source)
