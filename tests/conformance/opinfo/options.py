"""The knobs of one conformance run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How many samples are tried, how closely results must agree, and how operators are isolated."""

    max_samples: int = 20  # per operator, spread evenly over all of them; 0 means all
    grad_samples: int = 3
    gradients: bool = True
    rtol: float | None = None  # None: by dtype, see `tolerance`
    atol: float | None = None
    grad_rtol: float | None = None
    loose_dtype: bool = False
    timeout: float = 60.0  # seconds for one operator
    chunk: int = 16  # operators that share a forked child
    isolate: bool = True
    traceback: bool = False
