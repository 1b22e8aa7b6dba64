"""PyTorch's OpInfo database run against a module that offers PyTorch's names.

For every OpInfo of the installed torch its sample inputs are carried over with `M.tensor(ndarray)`,
the function of the same name in M is called, and values, shapes and dtypes are compared with torch's;
for the first few differentiable samples also the gradients that M's `backward()` leaves in `.grad`.
Where an OpInfo's callable is a wrapper (not `torch.<name>` itself), the torch calls that it makes are
recorded and replayed in M.

    python -m tests.conformance.opinfo squall                  # all operators, float32
    python -m tests.conformance.opinfo squall --ops 'nn\\.functional' --dtype float32,int64
    python -m tests.conformance.opinfo squall --update         # add what passes now to the expect files
    python -m tests.conformance.opinfo torch                   # the harness checks itself

M needs `M.tensor(ndarray[, requires_grad=])` or `M.asarray`, dtype names as attributes, and on its
tensors `.detach().numpy()` or `__array__`, `.backward()` and `.grad`. What differs goes into an adapter:
see `target`.
Operators run in forked children with a time limit, so a crash or a hang costs one operator only.

The way of one operator: `checks.one_op` -> `calls` (run torch, run M) -> `compare`, `gradients` -> `report`.
"""
