"""Tasks that are no fused loops: contractions, scatters, scans, library calls."""

from __future__ import annotations

from typing import Any, Callable

SPECIAL: dict[str, Callable[[Any, Any], None]] = {}
