"""How the peers are driven: ONNX Runtime on graphs that PyTorch exports, tinygrad under its own compiler.

Each is imported when a contender is built; ModuleNotFoundError makes its column "not installed".
"""

from __future__ import annotations

import io
import os
import shutil
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np


def threads() -> int:
    """How many threads this process may use."""
    return len(os.sched_getaffinity(0))


def onnx_session(model: Any, arguments: tuple, names: list[str]) -> Any:
    """An ONNX Runtime session of a PyTorch module: weights as initialisers, all graph optimisations on.

    Args:
        model: a torch.nn.Module. arguments: example Tensors. names: what the inputs are called in the session's feed.
    """
    import onnx  # noqa: F401  PyTorch's exporter needs it
    import torch

    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.eval(), arguments, file, dynamo=False, opset_version=17, input_names=names)
    return session_of(file.getvalue())


def session_of(graph: bytes) -> Any:
    """An ONNX Runtime session of a serialized graph: as many threads as this process has, all optimisations on."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def onnx_call(model: Any, arguments: tuple) -> Callable[[], list[np.ndarray]]:
    """A function that runs a PyTorch module's graph in ONNX Runtime on these arguments; arrays in, arrays out."""
    names = [f"input{index}" for index in range(len(arguments))]
    session = onnx_session(model, arguments, names)
    feed = {name: argument.numpy() for name, argument in zip(names, arguments, strict=True)}
    return lambda: session.run(None, feed)


def onnx_bound_call(model: Any, arguments: tuple) -> Callable[[], list[np.ndarray]]:
    """The same with inputs and outputs bound once: what is quickest for one size called over and over."""
    names = [f"input{index}" for index in range(len(arguments))]
    session = onnx_session(model, arguments, names)
    binding = session.io_binding()
    for name, argument in zip(names, arguments, strict=True):
        binding.bind_cpu_input(name, argument.numpy())
    session_outputs = session.get_outputs()
    for output in session_outputs:
        binding.bind_output(output.name)

    def call() -> list[np.ndarray]:
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()

    return call


def tinygrad() -> Any:
    """tinygrad for the processor; its kernels are compiled by clang, which has to be there."""
    if shutil.which("clang") is None:
        raise ModuleNotFoundError("tinygrad compiles with clang, which is not installed", name="clang")
    os.environ["DEV"] = "CPU"
    import tinygrad as package

    return package
