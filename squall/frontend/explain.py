"""`sq.explain`: what a compiled function became, as text."""

from __future__ import annotations

from typing import Any

from squall.frontend.jit import Compiled, compile


def explain(function: Any, *args: Any, **kwargs: Any) -> str:
    """What a compiled function became: kernels, what fused and why not, inputs and donations.

    Args:
        function: a Compiled, or a function to compile. args, kwargs: an example call, which is run.
    """
    compiled = function if isinstance(function, Compiled) else compile(function)
    compiled(*args, **kwargs)
    return "\n".join(compiled.report())
