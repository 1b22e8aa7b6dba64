"""The process that `benchmarks.cases.processes` looks at: import, build, train some steps, say when and how large.

`python -m benchmarks.process PACKAGE WAY NETWORK STEPS` prints one line of JSON: the losses, the moment the first step
was done and the seconds that making data and weights took (on the clock that all processes share), and the bytes by
which the process has grown at most since its framework, with layers and optimizers, NumPy and these cases were
imported: squall imports them when they are first used, others at once, and neither counts.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def resident(key: str) -> int:
    """VmRSS or VmHWM of this process, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) << 10
    return 0


def network(name: str) -> tuple[Callable, Callable, Callable, Callable]:
    """How to make a model and its loss, how to set its weights, and a batch."""
    from benchmarks.cases import convnets, frameworks, mlp

    if name == "gpt":
        from benchmarks.cases import gpt

        size = gpt.Size(layers=6, heads=6, width=384, length=256, batch=8)
        return gpt.make_model(size), gpt.make_loss, frameworks.set_weights, lambda: gpt.make_batches(size)()[0]
    if name == "mlp":
        return mlp.make_model, mlp.make_loss, frameworks.set_weights, lambda: mlp.make_batches(64)()[0]
    if name == "lenet":
        return convnets.lenet, mlp.make_loss, convnets.set_weights, lambda: pictures(64, 1, 28)
    return convnets.resnet18_small, mlp.make_loss, convnets.set_weights, lambda: pictures(32, 3, 32)


def pictures(batch: int, channels: int, size: int) -> tuple:
    """A batch of noise and classes."""
    import numpy as np

    draw = np.random.default_rng(1)
    return draw.standard_normal((batch, channels, size, size), dtype=np.float32), draw.integers(0, 10, batch)


def torch_like(package: str, way: str, name: str) -> tuple[Callable[[], float], float]:
    """squall or torch: a function that makes a step, and the seconds that data and weights took."""
    from benchmarks.cases.frameworks import framework, train_step

    own = framework(package)
    make_model, make_loss, set_weights, make_batch = network(name)
    model = make_model(own)
    before = time.perf_counter()
    set_weights(own, model)
    batch = [own.package.tensor(part) for part in make_batch()]
    data = time.perf_counter() - before
    loss_of = make_loss(own, model)
    if package == "squall":
        step = own.package.compile(train_step(own, loss_of, model))
    else:
        step = train_step(own, own.package.compile(loss_of) if way == "compile" else loss_of, model, fused=True)
    return lambda: float(step(*batch)), data


def jax_like(name: str) -> tuple[Callable[[], float], float]:
    """The same in JAX."""
    from benchmarks import jax_networks
    from benchmarks.cases import gpt, mlp
    from benchmarks.cases.frameworks import jax_training

    before = time.perf_counter()
    if name == "gpt":
        call = gpt.jax_program(gpt.Size(layers=6, heads=6, width=384, length=256, batch=8))().call
    elif name == "mlp":
        call = mlp.jax_program(64)().call
    else:
        loss, weights = getattr(jax_networks, name)()
        call = jax_training(loss, weights, [network(name)[3]()]).call
    return call, time.perf_counter() - before


def main(package: str, way: str, name: str, steps: str) -> None:
    """Do it, and print what was seen."""
    for part in ("", ".nn", ".optim") if package != "jax" else ("",):
        importlib.import_module(package + part)
    for case in ("convnets", "frameworks", "gpt", "mlp"):
        importlib.import_module(f"benchmarks.cases.{case}")
    imported = resident("VmRSS")
    step, data = jax_like(name) if package == "jax" else torch_like(package, way, name)
    losses = [step()]
    done = time.perf_counter()
    losses += [step() for _ in range(int(steps) - 1)]
    print(json.dumps({"losses": losses, "done": done, "data": data, "bytes": resident("VmHWM") - imported}))


if __name__ == "__main__":
    main(*sys.argv[1:])
