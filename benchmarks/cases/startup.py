"""Starting: how long `import` takes, and how long from nothing to a first result. Whole processes, in turn."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable

from benchmarks.harness import Case, Program, register


def with_byte_code() -> dict[str, str]:
    """This environment, but byte code of modules is kept between processes, as it is for installed packages."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def process(code: str, package: str | None = None) -> Callable[[], Program]:
    """A contender that runs a program in a fresh interpreter."""

    def make() -> Program:
        if package and importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        command = [sys.executable, "-c", code]
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=with_byte_code())
        if run.returncode:
            raise RuntimeError(run.stderr.strip().splitlines()[-1])
        return Program(
            call=lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=with_byte_code()),
            outputs=lambda: [float(word) for word in run.stdout.split()],
        )

    return make


register(Case(
    "import", "startup", "import, whole process",
    {
        "squall": process("import squall", "squall"),
        "python alone": process("pass"),
        "numpy": process("import numpy", "numpy"),
        "torch eager": process("import torch", "torch"),
        "jax": process("import jax", "jax"),
    },
    threads=(2,),
))  # fmt: skip

SUM = "x = lib.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True); y = (x * x).sum(); y.backward(); "
SUM += "print(y.item(), *x.grad.flatten().tolist())"
JAX_SUM = "import jax, jax.numpy as jnp; x = jnp.asarray([[1.0, 2.0], [3.0, 4.0]]); "
JAX_SUM += "y, g = jax.value_and_grad(lambda x: (x * x).sum())(x); print(float(y), *g.flatten().tolist())"

register(Case(
    "first-result", "startup", "import, a value and its gradient, whole process",
    {
        "squall": process("import squall as lib; " + SUM, "squall"),
        "torch eager": process("import torch as lib; " + SUM, "torch"),
        "jax": process(JAX_SUM, "jax"),
    },
    threads=(2,),
))  # fmt: skip
