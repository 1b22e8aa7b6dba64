"""What a whole process shows: seconds from nothing to the first train step, and memory that training takes.

Each reading runs `benchmarks.process` in a fresh interpreter, which builds the network, makes its steps and prints what
it saw. Cold means a folder of compiled code that is empty, warm one that an earlier process has filled.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.cases.startup import with_byte_code
from benchmarks.harness import Case, Program, register

# Where each framework keeps compiled code, given the folder of this contender.
CACHES: dict[str, Callable[[str], dict[str, str]]] = {
    "squall": lambda folder: {"SQUALL_CACHE_DIR": folder},
    "torch": lambda folder: {"TORCHINDUCTOR_CACHE_DIR": folder, "TRITON_CACHE_DIR": folder},
    "jax": lambda folder: {
        "JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    },
    "tinygrad": lambda folder: {"CACHEDB": str(Path(folder) / "cache.db")},
}  # fmt: skip
LIMIT_SECONDS = 180


def saw(package: str, way: str, network: str, steps: int, folder: str) -> dict:
    """What a fresh process prints: losses, the moment its first step was done, and bytes."""
    began = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.process", package, way, network, str(steps)],
        capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS,
        env={**with_byte_code(), **CACHES[package](folder)},
    )  # fmt: skip
    if run.returncode:
        raise RuntimeError(run.stderr.strip().splitlines()[-1])
    found = json.loads(run.stdout.strip().splitlines()[-1])
    return found | {"seconds": found["done"] - began - found["data"]}


class Whole(Program):
    """A contender whose readings are of whole processes."""

    def __init__(self, package: str, way: str, network: str, steps: int, cold: bool, key: str) -> None:
        folder = tempfile.TemporaryDirectory(prefix="benchmark-")

        def look(fresh: bool) -> dict:
            if not fresh:
                return saw(package, way, network, steps, folder.name)
            with tempfile.TemporaryDirectory(prefix="benchmark-") as empty:
                return saw(package, way, network, steps, empty)

        # The first look is compared, and fills the folder of the warm ones.
        super().__init__(lambda: None, lambda: look(False)["losses"], lambda: look(cold)[key])
        self.close = folder.cleanup


def whole(package: str, way: str, network: str, steps: int, cold: bool, key: str) -> Callable[[], Program]:
    """The contender; not installed is told apart from failing."""

    def make() -> Program:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return Whole(package, way, network, steps, cold, key)

    return make


ABOUT = {
    "mlp": "MLP 784-256-128-10, batch 64", "lenet": "LeNet, batch 64", "resnet18": "ResNet-18 for 32 x 32, batch 32",
    "gpt": "GPT 6 x 384, 256 tokens, batch 8",
}  # fmt: skip
WAYS = {
    "squall": ("squall", "compiled"), "torch eager": ("torch", "eager"), "torch compile": ("torch", "compile"),
    "jax": ("jax", "compiled"),
}  # fmt: skip

for network, about in ABOUT.items():
    for cold in (True, False):
        register(Case(
            f"first-step-{network}-{'cold' if cold else 'warm'}", "processes",
            f"process to first train step done, {about}, no code kept" if cold else
            f"the same, {about}, code kept from before",
            {name: whole(*way, network, 1, cold, "seconds") for name, way in WAYS.items()},
            threads=(2,), tolerance=1e-3, rounds=5, full=True,
        ))  # fmt: skip
    if network in ("resnet18", "gpt"):
        register(Case(
            f"memory-{network}", "processes", f"training's peak memory less that after import, {about}",
            {name: whole(*way, network, 4, False, "bytes") for name, way in WAYS.items() if name != "torch compile"},
            threads=(2,), tolerance=1e-3, rounds=3, full=True, unit="bytes",
        ))  # fmt: skip
