"""`sq.tune`: time other ways to run a compiled function's contractions on this machine, and use the quickest."""

from __future__ import annotations

from typing import Any, NamedTuple

from squall.base.errors import SquallError
from squall.engine import tuning
from squall.frontend.jit import Compiled, compile
from squall.frontend.state import no_grad


class TunedContraction(NamedTuple):
    """One contraction that `tune` timed.

    Attributes:
        contraction: dtypes, instruction set, threads and dimensions, as in the file of timings. before, after: seconds
            of a run as the cost model chooses and as it is run from now on. variant: how that departs from the cost
            model's choice; empty where that was the best.
    """

    contraction: str
    before: float
    after: float
    variant: dict[str, Any]


def tune(function: Any, /, *args: Any, again: bool = False, **kwargs: Any) -> list[TunedContraction]:
    """Time the contractions of a compiled function in several ways, and use the quickest from now on.

    Matrix products, convolutions and their gradients run as a cost model says. Here their tiles, what is packed and how
    the work is shared out are tried on this machine, with the threads in use; all ways give the same bits. Winners are
    kept beside the compiled kernels, for this kind of machine, and programs that were compiled before use them as well.
    It takes up to three seconds a contraction. `SQUALL_TUNE=1` does it for every contraction when it is first met.

    Args:
        function: a Compiled, or a function to compile. args, kwargs: an example call, which is run; twice
            if the first call creates state, as an optimizer's does. A function whose results have history is timed as
            under `no_grad`; to time gradients as well, give a function that takes them.
        again: time also what was timed before.

    Returns:
        list[TunedContraction]: what was timed now.

    Raises:
        TraceError: for a function that is no single program.
        SquallError: for backends other than "cpu".

    Example:
        >>> import squall as sq
        >>> model = sq.compile(sq.nn.Linear(64, 32))
        >>> found = sq.tune(model, sq.ones(8, 64), again=True)
        >>> all(t.after <= t.before for t in found)
        True
    """
    compiled = function if isinstance(function, Compiled) else compile(function)
    for _ in range(2):  # a first call that creates state, such as an optimizer's, is not what later ones run
        if not compiled.programs:
            compiled(*args, **kwargs)
    if any(program.executable is None for program in compiled.programs):
        with no_grad():  # results with history are evaluated with what reads them, not as a program
            compiled(*args, **kwargs)
    made: dict[str, TunedContraction] = {}
    for executable in [p.executable for p in compiled.programs if p.executable is not None]:
        plan = getattr(executable, "plan", None)
        if plan is None or executable.backend != "cpu":
            raise SquallError("tune: contractions are timed as machine code; the backend must be 'cpu'")
        for binding in list(executable.bindings.values()):
            for timing in tuning.measure_plan(plan, binding.sizes, again, compiled.freeze):
                variant = {k: v for k, v in timing.winner.variant._asdict().items() if v}
                made.setdefault(timing.key, TunedContraction(timing.key, timing.before, timing.after, variant))
    return list(made.values())
