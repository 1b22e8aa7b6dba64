"""What the Array API's inspection tells of the namespace: `__array_namespace_info__()`."""

from __future__ import annotations

from typing import Any

from squall.base import dtypes
from squall.frontend.conversion import Device
from squall.numpy.kinds import isdtype

# The standard's dtypes; float16 and bfloat16 are squall's beyond it.
_NAMES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128"


class Info:
    """What the namespace can do: the object that `__array_namespace_info__()` gives.

    Example:
        >>> import squall.numpy as snp
        >>> snp.__array_namespace_info__().default_dtypes()["real floating"]
        squall.float64
    """

    def capabilities(self) -> dict[str, Any]:
        """Whether masks and sizes that depend on values work, and the most dimensions (None: any number)."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": None}

    def default_device(self) -> Device:
        """Where arrays are made."""
        return Device("cpu")

    def devices(self) -> list[Device]:
        """All devices."""
        return [Device("cpu")]

    def default_dtypes(self, *, device: Any = None) -> dict[str, dtypes.DType]:
        """The dtypes of new arrays by family."""
        self._check(device)
        return {
            "real floating": dtypes.float64,
            "complex floating": dtypes.complex128,
            "integral": dtypes.int64,
            "indexing": dtypes.int64,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, dtypes.DType]:
        """The standard's dtypes by name, all of them or those of a family.

        Args:
            kind: a family such as "integral", or a tuple of families.
        """
        self._check(device)
        found = {name: dtypes.dtype_named(name) for name in _NAMES.split()}
        return found if kind is None else {n: d for n, d in found.items() if isdtype(d, kind)}

    @staticmethod
    def _check(device: Any) -> None:
        if device not in (None, "cpu"):
            raise ValueError(f"device: only 'cpu' is available, not {device!r}")


def __array_namespace_info__() -> Info:  # noqa: N807 - the standard's name
    """What the namespace can do: its devices, dtypes and capabilities."""
    return Info()
