"""`import squall` loads few modules, is quick, and leaves numpy and llvmlite alone."""

import json

from tests.meta import tree

HEAVY = {"numpy", "llvmlite", "ml_dtypes", "rich", "matplotlib", "safetensors", "torch", "asyncio"}
MODULE_BUDGET = 150
# The promise is 0.1 s of a person's time; this is processor time with slack for a slow or busy machine.
SECONDS_BUDGET = 0.15
RUNS = 5

MEASURE = """
import sys, time, json
before = set(sys.modules)
began = time.process_time()
import squall
seconds = time.process_time() - began
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""


def measure() -> tuple[float, list[str]]:
    seconds, modules = json.loads(tree.run_python(MEASURE))
    return seconds, modules


def test_import_leaves_heavy_packages_alone():
    _, modules = measure()
    loaded = sorted(HEAVY & {name.split(".")[0] for name in modules})
    assert not loaded, f"`import squall` loaded {loaded}"


def test_import_loads_few_modules():
    _, modules = measure()
    assert len(modules) <= MODULE_BUDGET, f"loaded {len(modules)} modules: {' '.join(modules)}"


def test_import_leaves_the_upper_rooms_for_first_touch():
    _, modules = measure()
    rooms = ("nn", "optim", "data", "io", "models", "serve", "cli")
    early = [room for room in rooms if f"squall.{room}" in modules]
    assert not early, f"`import squall` loaded {early} before anybody asked for them"


def test_import_is_quick():
    best = min(measure()[0] for _ in range(RUNS))
    assert best <= SECONDS_BUDGET, f"`import squall` took {best:.3f} s of processor time, at best of {RUNS}"
