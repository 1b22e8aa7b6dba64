"""Fused rows: softmax, layer norm, GELU and cross entropy over rows of 768, forward, and backward by autograd.

Every contender gets float32 rows in its own memory and leaves its results there; squall is asked by
`synchronize` to compute them, since it would otherwise only write them down.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases.frameworks import framework
from benchmarks.harness import Case, Program, register

WIDTH = 768
ROWS = (64, 4096, 32768)

FORWARD = {
    "softmax": lambda F, x, w, b, t: F.softmax(x, dim=-1),
    "layernorm": lambda F, x, w, b, t: F.layer_norm(x, (WIDTH,), w, b),
    "gelu": lambda F, x, w, b, t: F.gelu(x * w + b),
    "gelu-tanh": lambda F, x, w, b, t: F.gelu(x * w + b, approximate="tanh"),
    "cross-entropy": lambda F, x, w, b, t: F.cross_entropy(x, t),
}


def arrays(rows: int) -> tuple[np.ndarray, ...]:
    """Rows, two vectors, targets, and what comes from above."""
    draw = np.random.RandomState(5)
    x, above = (draw.standard_normal((rows, WIDTH)).astype(np.float32) for _ in range(2))
    w, b = (draw.uniform(0.5, 1.5, WIDTH).astype(np.float32) for _ in range(2))
    return x, w, b, draw.randint(0, WIDTH, rows), above


def forward(name: str, what: str, rows: int, compiled: bool) -> Callable[[], Program]:
    """The function of rows alone."""

    def make() -> Program:
        own = framework(name)
        x, w, b, t, _ = (own.package.tensor(value) for value in arrays(rows))
        function = FORWARD[what]

        def apply(x: Any, w: Any, b: Any, t: Any) -> Any:
            return function(own.nn.functional, x, w, b, t)

        if compiled:
            apply = own.package.compile(apply)
        finish = own.package.synchronize if name == "squall" else lambda: None

        def call() -> Any:
            made = apply(x, w, b, t)
            finish()
            return made

        return Program(call, lambda: [call().numpy()])

    return make


def backward(name: str, what: str, rows: int, compiled: bool) -> Callable[[], Program]:
    """Forward, and the gradients of all that is differentiable."""

    def make() -> Program:
        own = framework(name)
        x, w, b, t, above = (own.package.tensor(value) for value in arrays(rows))
        function = FORWARD[what]
        wanted = {"softmax": [x], "cross-entropy": [x]}.get(what, [x, w, b])
        for leaf in wanted:
            leaf.requires_grad_(True)

        def apply(x: Any, w: Any, b: Any, t: Any) -> Any:
            return function(own.nn.functional, x, w, b, t)

        if compiled and name == "torch":
            apply = own.package.compile(apply)
        grad = own.package.autograd.grad

        def both(x: Any, w: Any, b: Any, t: Any, above: Any) -> tuple:
            made = apply(x, w, b, t)
            inputs = [x] if len(wanted) == 1 else [x, w, b]
            return grad(made, inputs, None if what == "cross-entropy" else above)

        if compiled and name != "torch":
            both = own.package.compile(both)
        finish = own.package.synchronize if name == "squall" else lambda: None

        def call() -> Any:
            made = both(x, w, b, t, above)
            finish()
            return made

        return Program(call, lambda: [value.numpy() for value in call()])

    return make


def onnx_forward(what: str, rows: int) -> Callable[[], Program]:
    """The same in ONNX Runtime, from a graph of one or a few standard ops, over arrays that are bound beforehand."""

    def make() -> Program:
        import os

        import onnxruntime
        from onnx import TensorProto, helper

        names = {"softmax": ("x",), "cross-entropy": ("x", "t")}.get(what, ("x", "w", "b"))
        kinds = {"t": TensorProto.INT64}
        shapes = {"x": [rows, WIDTH], "t": [rows]}
        inputs = [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), shapes.get(n, [WIDTH]))
                  for n in names]
        if what == "softmax":
            nodes = [helper.make_node("Softmax", ["x"], ["y"], axis=-1)]
        elif what == "layernorm":
            nodes = [helper.make_node("LayerNormalization", ["x", "w", "b"], ["y"], axis=-1, epsilon=1e-5)]
        elif what == "cross-entropy":
            nodes = [helper.make_node("SoftmaxCrossEntropyLoss", ["x", "t"], ["y"], reduction="mean")]
        else:
            how = {"approximate": "tanh"} if what == "gelu-tanh" else {}
            nodes = [helper.make_node("Mul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["q"]),
                     helper.make_node("Gelu", ["q"], ["y"], **how)]
        shape = [] if what == "cross-entropy" else [rows, WIDTH]
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
        graph = helper.make_graph(nodes, "rows", inputs, [output])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        x, w, b, t, _ = arrays(rows)
        values = {"x": x, "w": w, "b": b, "t": t}
        binding = session.io_binding()
        for n in names:
            binding.bind_cpu_input(n, values[n])
        made = onnxruntime.OrtValue.ortvalue_from_numpy(np.empty(shape, np.float32))
        binding.bind_ortvalue_output("y", made)
        return Program(lambda: session.run_with_iobinding(binding),
                       lambda: [(session.run_with_iobinding(binding), made.numpy())[1]])

    return make


for kind in FORWARD:
    for count in ROWS:
        register(Case(
            f"{kind}-{count}", "rows", f"{kind}, {count} x {WIDTH}",
            {
                "squall": forward("squall", kind, count, False),
                "squall compiled": forward("squall", kind, count, True),
                "torch eager": forward("torch", kind, count, False),
                "torch compile": forward("torch", kind, count, True),
                "onnxruntime": onnx_forward(kind, count),
            },
            tolerance=2e-6,
        ))  # fmt: skip
        register(Case(
            f"{kind}-backward-{count}", "rows", f"{kind}, {count} x {WIDTH}, forward and backward",
            {
                "squall": backward("squall", kind, count, False),
                "squall compiled": backward("squall", kind, count, True),
                "torch eager": backward("torch", kind, count, False),
                "torch compile": backward("torch", kind, count, True),
            },
            tolerance=1e-5,
        ))  # fmt: skip
