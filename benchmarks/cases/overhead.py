"""What squall itself costs: writing one op down, reading one number, and a train step with next to no arithmetic."""

import functools
import itertools
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.cases import mlp
from benchmarks.cases.frameworks import Framework, contenders, framework
from benchmarks.harness import Case, Program, register, repeated

CALLS = 1000
WIDTH = 16

OPS: dict[str, Callable[[Any, Any], Any]] = {
    "mul": lambda x, y: x * 2.0,
    "matmul": lambda x, y: x @ y,
    "sum": lambda x, y: x.sum(),
    "relu": lambda x, y: x.relu(),
    "index": lambda x, y: x[1],
    "slice": lambda x, y: x[1:3],
    "transpose": lambda x, y: x.T,
    "reshape": lambda x, y: x.reshape(4, 16),
    "detach": lambda x, y: x.detach(),
    "sum-dim": lambda x, y: x.sum(0),
    "linear": lambda x, y: package_of(x).nn.functional.linear(x, y),
    "softmax": lambda x, y: package_of(x).nn.functional.softmax(x, -1),
    "cat": lambda x, y: package_of(x).cat((x, y)),
    "stack": lambda x, y: package_of(x).stack((x, y)),
    "gelu": lambda x, y: package_of(x).nn.functional.gelu(x),
    "layer-norm": lambda x, y: package_of(x).nn.functional.layer_norm(x, (8,)),
    "cross-entropy": lambda x, y: beside(type(x)).cross_entropy(x, beside(type(x)).positions),
    "embedding": lambda x, y: beside(type(x)).embedding(beside(type(x)).positions, x),
    "where": lambda x, y: beside(type(x)).where(beside(type(x)).mask, x, y),
    "masked-fill": lambda x, y: x.masked_fill(beside(type(x)).mask, 0.0),
}
WRITTEN = {
    "mul": "x * 2.0", "matmul": "x @ y", "sum": "x.sum()", "relu": "x.relu()", "index": "x[1]", "slice": "x[1:3]",
    "transpose": "x.T", "reshape": "x.reshape(4, 16)", "detach": "x.detach()", "sum-dim": "x.sum(0)",
    "linear": "F.linear(x, y)", "softmax": "F.softmax(x, -1)", "cat": "cat((x, y))",
    "stack": "stack((x, y))", "gelu": "F.gelu(x)", "layer-norm": "F.layer_norm(x, (8,))",
    "cross-entropy": "F.cross_entropy(x, t)", "embedding": "F.embedding(t, x)", "where": "where(c, x, y)",
    "masked-fill": "x.masked_fill(c, 0.0)",
}  # fmt: skip

WRITES: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "number": ("x.mul_(0.5)", lambda x, y: x.mul_(0.5)),
    "tensor": ("x.add_(y)", lambda x, y: x.add_(y)),
    "zero": ("x.zero_()", lambda x, y: x.zero_()),
    "copy": ("x.copy_(y)", lambda x, y: x.copy_(y)),
}

READS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "item": ("x.item() of a known value", lambda x, y: x.item()),
    "bool": ("bool(x > y)", lambda x, y: bool(x > y)),
    "sum-item": ("(x + y).sum().item()", lambda x, y: (x + y).sum().item()),
    "float-loss": ("float(((x - y) * (x - y)).mean())", lambda x, y: float(((x - y) * (x - y)).mean())),
}


def package_of(x: Any) -> Any:
    """The package a tensor is of."""
    return sys.modules[type(x).__module__.partition(".")[0]]


@functools.cache
def beside(kind: type) -> Any:
    """Functions of the package that a class of tensors is of, eight positions and an 8 x 8 mask."""
    package, positions = sys.modules[kind.__module__.partition(".")[0]], np.random.RandomState(6).permutation(8)
    functional = package.nn.functional
    return types.SimpleNamespace(
        cross_entropy=functional.cross_entropy, embedding=functional.embedding, where=package.where,
        positions=package.tensor(positions), mask=package.tensor(np.add.outer(positions, positions) > 7),
    )  # fmt: skip


def matrices(package: Any, requires_grad: bool) -> tuple:
    """Two 8 x 8 matrices, the same in every framework."""
    draw = np.random.RandomState(5)
    values = [draw.uniform(0.5, 1.5, (8, 8)).astype(np.float32) for _ in range(2)]
    return tuple(package.tensor(value, requires_grad=requires_grad) for value in values)


def recording(name: str, op: str, requires_grad: bool) -> Callable[[], Program]:
    """One op a thousand times, nobody reading the result."""

    def make() -> Program:
        x, y = matrices(framework(name).package, requires_grad)
        apply = OPS[op]
        for _ in range(20):  # programs read values now and then; squall's native recording is loaded by that
            apply(x, y).sum().item()

        def call() -> None:
            for _ in range(CALLS):
                apply(x, y)

        return Program(call, lambda: [apply(x, y).detach().numpy()])

    return make


def writing(name: str, write: str) -> Callable[[], Program]:
    """One operation in place a thousand times."""

    def make() -> Program:
        x, y = matrices(framework(name).package, False)
        apply = WRITES[write][1]

        def call() -> None:
            for _ in range(CALLS):
                apply(x, y)

        return Program(call, lambda: [apply(x.clone(), y).numpy()])

    return make


def calling(name: str, compiled: bool) -> Callable[[], Program]:
    """A function of two small matrices, compiled or not, a thousand times."""

    def make() -> Program:
        own = framework(name)
        x, y = matrices(own.package, False)

        def function(a: Any, b: Any) -> Any:
            return (a + b) * 2.0

        apply = own.package.compile(function) if compiled else function

        def call() -> None:
            for _ in range(CALLS):
                apply(x, y)

        return Program(call, lambda: [apply(x, y).numpy()])

    return make


def layers(nn: Any, sizes: tuple[int, ...]) -> Any:
    """A perceptron of some sizes."""
    parts: list[Any] = []
    for inner, outer in itertools.pairwise(sizes):
        parts += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def one_sample(name: str, sizes: tuple[int, ...], way: str) -> Callable[[], Program]:
    """A perceptron of one sample without gradients: "eager", "compiled", or "bound" to memory."""

    def make() -> Program:
        own = framework(name)
        model = layers(own.package.nn, sizes)
        draw = np.random.RandomState(7)
        with own.package.no_grad():
            for parameter in model.parameters():
                values = draw.uniform(-0.1, 0.1, tuple(parameter.shape)).astype(np.float32)
                parameter.copy_(own.package.tensor(values))
        values = draw.uniform(-1.0, 1.0, (1, sizes[0])).astype(np.float32)
        x = own.package.tensor(values)
        apply = model if way == "eager" else own.package.compile(model)
        run = apply.bind(values).run if way == "bound" else None

        def call() -> None:
            if run is not None:
                for _ in range(CALLS):
                    run()
                return
            with own.package.no_grad():
                for _ in range(CALLS):
                    apply(x)

        def outputs() -> list:
            with own.package.no_grad():
                return [apply(x).numpy() if run is None else run().copy()]

        return Program(call, outputs)

    return make


def many_parameters(name: str, compiled: bool) -> Callable[[], Program]:
    """A function that is given 100 small tensors and adds two of them, a thousand times."""

    def make() -> Program:
        own = framework(name)
        given = [own.package.full((4,), float(i)) for i in range(100)]

        def function(*parameters: Any) -> Any:
            return parameters[0] + parameters[99]

        apply = own.package.compile(function) if compiled else function

        def call() -> None:
            for _ in range(CALLS):
                apply(*given)

        return Program(call, lambda: [apply(*given).numpy()])

    return make


def many_in_jax() -> Program:
    """The same in JAX, jitted and waited for."""
    import jax
    import jax.numpy as jnp

    given = [jnp.full(4, float(i)) for i in range(100)]
    apply = jax.jit(lambda *parameters: parameters[0] + parameters[99])
    return Program(
        repeated(lambda: apply(*given).block_until_ready(), CALLS), lambda: [np.asarray(apply(*given))]
    )


def many_in_onnx() -> Program:
    """The same in ONNX Runtime, as a graph of 100 inputs (PyTorch's exporter drops those that nobody reads)."""
    from onnx import TensorProto, helper

    names = [f"input{i}" for i in range(100)]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in (*names, "sum")]
    node = helper.make_node("Add", [names[0], names[99]], ["sum"])
    graph = helper.make_graph([node], "many", values[:-1], values[-1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = peers.session_of(model.SerializeToString())
    feed = {name: np.full(4, float(i), np.float32) for i, name in enumerate(names)}
    return Program(repeated(lambda: session.run(None, feed), CALLS), lambda: session.run(None, feed))


def reading(name: str, read: str) -> Callable[[], Program]:
    """A few operations on single numbers, and the result as a Python number, a thousand times."""

    def make() -> Program:
        package = framework(name).package
        x, y = package.tensor(1.5), package.tensor(0.25)
        apply = READS[read][1]

        def call() -> None:
            for _ in range(CALLS):
                apply(x, y)

        return Program(call, lambda: [float(apply(x, y))])

    return make


def small_model(own: Framework) -> Any:
    """A perceptron whose arithmetic takes next to no time."""
    nn = own.nn
    return nn.Sequential(
        nn.Linear(WIDTH, WIDTH), nn.ReLU(),
        nn.Linear(WIDTH, WIDTH), nn.ReLU(),
        nn.Linear(WIDTH, 10),
    )  # fmt: skip


def small_batches() -> list:
    """Batches of four."""
    draw = np.random.RandomState(6)
    return [(draw.standard_normal((4, WIDTH)).astype(np.float32), draw.randint(0, 10, 4)) for _ in range(8)]


for written in OPS:
    for suffix, with_history in (("", False), ("-history", True)):
        register(Case(
            f"record-{written}{suffix}", "overhead",
            f"{WRITTEN[written]} of 8 x 8, not read" + (", with history" if with_history else ""),
            {
                "squall": recording("squall", written, with_history),
                "torch eager": recording("torch", written, with_history),
            },
            per_call=CALLS, threads=(1,),
        ))  # fmt: skip

for which, (title, _) in WRITES.items():
    register(Case(
        f"write-{which}", "overhead", f"{title} of 8 x 8",
        {"squall": writing("squall", which), "torch eager": writing("torch", which)},
        per_call=CALLS, threads=(1,),
    ))  # fmt: skip

register(Case(
    "call-compiled", "overhead", "a compiled function of two 8 x 8 arguments, one kernel",
    {"squall": calling("squall", True), "torch eager": calling("torch", False)},
    per_call=CALLS, threads=(1,),
))  # fmt: skip

register(Case(
    "call-100-parameters", "overhead", "a compiled function of 100 tensors that adds two of them",
    {
        "squall": many_parameters("squall", True),
        "torch eager": many_parameters("torch", False),
        "torch compile": many_parameters("torch", True),
        "jax": many_in_jax,
        "onnxruntime": many_in_onnx,
    },
    per_call=CALLS, threads=(1,),
))  # fmt: skip

for sizes in ((2, 8, 1), (784, 128, 64, 10)):
    shown = "-".join(map(str, sizes))
    for way, told in (("compiled", "returning a Tensor"), ("bound", "bound to memory")):
        register(Case(
            f"call-{shown}-{way}", "overhead", f"one sample through {shown}, compiled, {told}",
            {"squall": one_sample("squall", sizes, way), "torch eager": one_sample("torch", sizes, "eager")},
            per_call=CALLS, threads=(1,),
        ))  # fmt: skip

for which, (title, _) in READS.items():
    register(Case(
        f"read-{which}", "overhead", title,
        {"squall": reading("squall", which), "torch eager": reading("torch", which)},
        per_call=CALLS, threads=(1,),
    ))  # fmt: skip

register(Case(
    "step-overhead", "overhead", f"MLP {WIDTH}-{WIDTH}-{WIDTH}-10, AdamW step, batch 4: overhead, hardly arithmetic",
    {
        name: make for name, make in contenders(small_model, mlp.make_loss, small_batches).items()
        if name != "torch compile"
    },
    threads=(1,),
))  # fmt: skip
