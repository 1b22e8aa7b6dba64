"""What NumPy's code asks of an array's memory: `x.flags`."""

from __future__ import annotations

from typing import Any

_NAMES = {
    "C_CONTIGUOUS": "c_contiguous", "C": "c_contiguous", "CONTIGUOUS": "c_contiguous",
    "F_CONTIGUOUS": "f_contiguous", "F": "f_contiguous", "FORTRAN": "f_contiguous",
    "WRITEABLE": "writeable", "W": "writeable", "ALIGNED": "aligned", "A": "aligned",
    "OWNDATA": "owndata", "O": "owndata",
}  # fmt: skip


class Flags:
    """How an array lies in memory, by attribute or by NumPy's key: `x.flags.c_contiguous`, `x.flags["C"]`.

    Attributes:
        c_contiguous, f_contiguous: whether logical strides are row-major, column-major. writeable, aligned: always
            True. owndata: whether the array is not a view.
    """

    writeable = aligned = True

    def __init__(self, tensor: Any):
        self.c_contiguous = self.contiguous = bool(tensor.is_contiguous())
        rank = len(tensor.node.shape)
        self.f_contiguous = bool(tensor.permute(*range(rank)[::-1]).is_contiguous()) if rank else True
        self.forc = self.c_contiguous or self.f_contiguous
        self.fnc = self.f_contiguous and not self.c_contiguous
        self.owndata = tensor._view is None

    def __getitem__(self, name: str) -> bool:
        if name not in _NAMES:
            raise KeyError("Unknown flag")
        return getattr(self, _NAMES[name])

    def __repr__(self) -> str:
        named = {long: name for long, name in _NAMES.items() if len(long) > 3 and long not in ("FORTRAN", "CONTIGUOUS")}
        return "\n".join(f"  {long} : {getattr(self, name)}" for long, name in named.items())
