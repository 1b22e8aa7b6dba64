"""Modules for function transforms: the state of several as one, and BatchNorm without running statistics."""

from __future__ import annotations

from typing import Any

from squall.frontend.joining import stack


def stack_module_state(models: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of modules of one class, each stacked in a new first dimension, for `vmap`.

    Args:
        models: modules alike but for the values.

    Returns:
        tuple: (parameters, buffers) by name. Parameters are leaves that gather gradients when those of the modules do.

    Raises:
        RuntimeError: for no modules, classes that differ, or modules in training and not among them.

    Example:
        >>> import squall as sq
        >>> models = [sq.nn.Linear(2, 1) for _ in range(3)]
        >>> parameters, buffers = sq.func.stack_module_state(models)
        >>> parameters["weight"].shape, buffers
        (squall.Size([3, 1, 2]), {})
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({model.training for model in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(model) for model in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = {
        name: _stacked([dict(m.named_parameters())[name] for m in models]) for name, _ in models[0].named_parameters()
    }
    buffers = {
        name: _stacked([dict(m.named_buffers())[name] for m in models]) for name, _ in models[0].named_buffers()
    }
    return parameters, buffers


def _stacked(values: list) -> Any:
    wanted = [v.requires_grad for v in values]
    if any(wanted) and not all(wanted):
        raise RuntimeError("stack_module_state: Expected all parameters of one name to have the same requires_grad.")
    return stack([v.detach() for v in values]).requires_grad_(all(wanted))


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Let every BatchNorm inside a module use the statistics of the batch and keep none, in place.

    Running statistics are written to when a module runs, which `vmap` over modules cannot do.

    Args:
        root: a module.

    Returns:
        The module.

    Example:
        >>> import squall as sq
        >>> net = sq.nn.Sequential(sq.nn.BatchNorm1d(3))
        >>> sq.func.replace_all_batch_norm_modules_(net)[0].running_mean is None
        True
    """
    for module in root.modules():
        if hasattr(module, "track_running_stats") and "BatchNorm" in type(module).__name__:
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
