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


def held(dtype: str) -> Options:
    """The options by which what passed is held in every run: half the samples of complex64, whose ops are those of the
    real lists over pairs. They are among the samples that the list was made with.
    """
    return Options(max_samples=Options.max_samples // 2) if dtype == "complex64" else Options()
