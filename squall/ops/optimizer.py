"""Optimizer steps: SGD and Adam with its relatives, in PyTorch's order of operations.

Bias corrections are computed in float64; parameter-sized work in the parameter's dtype, 16-bit parameters in float32.
How operands and results are laid out: `updates.py`.
"""

from __future__ import annotations

from typing import Any

from squall.ir.op import ops
from squall.ops.updates import Numbers, decayed, declare_update, left_over, mixed


# ---------------------------------------------------------------- SGD
def _sgd(p: Any, g: Any, states: list, n: Numbers, *, decay: bool, momentum: bool, nesterov: bool, maximize: bool,
         first: bool) -> tuple:
    g = decayed(p, g, n, decay, maximize)
    if not momentum:
        return (ops.sub(p, ops.mul(g, n("lr", p.dtype))),)
    velocity = g if first else mixed(states[0], g, n, "momentum", "1-dampening")
    g = ops.add(g, ops.mul(velocity, n("momentum", p.dtype))) if nesterov else velocity
    return ops.sub(p, ops.mul(g, n("lr", p.dtype))), velocity


def _sgd_reference(p: Any, g: Any, states: list, n: dict, *, decay: bool, momentum: bool, nesterov: bool,
                   maximize: bool, first: bool) -> tuple:
    g = decayed(p, g, n, decay, maximize)
    if not momentum:
        return (p - g * n["lr"],)
    velocity = g if first else states[0] * n["momentum"] + g * (1 - n["dampening"])
    return p - (g + velocity * n["momentum"] if nesterov else velocity) * n["lr"], velocity


def _sgd_samples() -> list:
    flags = ({}, {"decay": True, "maximize": True}, {"momentum": True, "decay": True},
             {"momentum": True, "nesterov": True}, {"momentum": True, "nesterov": True, "first": True})
    return [((0.1, 0.01, 0.9, 0.1), given) for given in flags]


sgd_update = declare_update(
    "sgd_update", states=lambda momentum=False, **_: int(momentum),
    numbers=("lr", "weight_decay", "momentum", "dampening"),
    flags=("decay", "momentum", "nesterov", "maximize", "first"), rule=_sgd, reference=_sgd_reference,
    shared=lambda values, **_: left_over(values, "dampening"), samples=_sgd_samples,
    doc="One step of torch.optim.SGD; with `momentum` the state is the buffer, which `first` starts with the gradient "
    "(with a dampening of 0, zeros do as well). `decay` says whether weight_decay counts.")


# ---------------------------------------------------------------- Adam
def _corrections(values: dict[str, Any]) -> dict[str, Any]:
    """What the moments fall short by after so many steps."""
    beta1, beta2, step = (values[name] for name in ("beta1", "beta2", "step"))
    return {"below1": ops.sub(1.0, ops.pow(beta1, step)), "below2": ops.sub(1.0, ops.pow(beta2, step)),
            **left_over(values, "beta1", "beta2")}


def _adam_shared(values: dict[str, Any], *, decay: bool, decoupled: bool, **_: bool) -> dict[str, Any]:
    made = _corrections(values)
    made["step_size"] = ops.div(values["lr"], made["below1"])
    made["root"] = ops.sqrt(made["below2"])
    if decay and decoupled:
        made["shrink"] = ops.sub(1.0, ops.mul(values["lr"], values["weight_decay"]))
    return made


def _begin(p: Any, g: Any, n: Numbers, decay: bool, decoupled: bool, maximize: bool) -> tuple:
    """Parameter and gradient after both forms of decay."""
    if decay and decoupled:
        p = ops.mul(p, n("shrink", p.dtype))
    return p, decayed(p, g, n, decay and not decoupled, maximize)


def _second_moment(second: Any, g: Any, n: Numbers) -> Any:
    fresh = ops.mul(ops.mul(n("1-beta2", g.dtype), g), g)
    return ops.add(ops.mul(second, n("beta2", g.dtype)), fresh)


def _adam(p: Any, g: Any, states: list, n: Numbers, *, decay: bool, decoupled: bool, maximize: bool,
          amsgrad: bool) -> tuple:
    p, g = _begin(p, g, n, decay, decoupled, maximize)
    first = ops.lerp(states[0], g, n("1-beta1", p.dtype))
    second = _second_moment(states[1], g, n)
    largest = ops.maximum(states[2], second) if amsgrad else second
    below = ops.add(ops.div(ops.sqrt(largest), n("root", p.dtype)), n("eps", p.dtype))
    moved = ops.sub(p, ops.div(ops.mul(n("step_size", p.dtype), first), below))
    return (moved, first, second, largest) if amsgrad else (moved, first, second)


def _moments(p: Any, g: Any, states: list, n: dict, decay: bool, decoupled: bool, maximize: bool) -> tuple:
    """(parameter, gradient, first and second moment) of the references."""
    if decay and decoupled:
        p = p * (1 - n["lr"] * n["weight_decay"])
    g = decayed(p, g, n, decay and not decoupled, maximize)
    first = states[0] + (1 - n["beta1"]) * (g - states[0])
    return p, g, first, states[1] * n["beta2"] + (1 - n["beta2"]) * g * g


def _adam_reference(p: Any, g: Any, states: list, n: dict, *, decay: bool, decoupled: bool, maximize: bool,
                    amsgrad: bool) -> tuple:
    import numpy

    p, g, first, second = _moments(p, g, states, n, decay, decoupled, maximize)
    largest = numpy.maximum(states[2], second) if amsgrad else second
    below = largest**0.5 / numpy.sqrt(1 - n["beta2"] ** n["step"]) + n["eps"]
    moved = p - n["lr"] / (1 - n["beta1"] ** n["step"]) * first / below
    return (moved, first, second, largest) if amsgrad else (moved, first, second)


_ADAM = ("step", "lr", "beta1", "beta2", "eps", "weight_decay")


def _adam_samples() -> list:
    flags = ({}, {"decay": True}, {"decay": True, "decoupled": True}, {"maximize": True}, {"amsgrad": True})
    return [((3.0, 1e-2, 0.9, 0.999, 1e-8, 0.1), given) for given in flags]


adam_update = declare_update(
    "adam_update", states=lambda amsgrad=False, **_: 3 if amsgrad else 2, numbers=_ADAM,
    flags=("decay", "decoupled", "maximize", "amsgrad"), rule=_adam, reference=_adam_reference, shared=_adam_shared,
    samples=_adam_samples,
    doc="One step of torch.optim.Adam or, `decoupled`, AdamW: the states are the two moments and, with `amsgrad`, the "
    "largest second moment; step is this one's number, from 1. `decay` says whether weight_decay counts.")


# ---------------------------------------------------------------- Adamax
def _adamax(p: Any, g: Any, states: list, n: Numbers, *, decay: bool, maximize: bool) -> tuple:
    g = decayed(p, g, n, decay, maximize)
    first = ops.lerp(states[0], g, n("1-beta1", p.dtype))
    largest = ops.maximum(ops.mul(states[1], n("beta2", p.dtype)), ops.add(ops.abs(g), n("eps", p.dtype)))
    return ops.sub(p, ops.mul(n("step_size", p.dtype), ops.div(first, largest))), first, largest


def _adamax_reference(p: Any, g: Any, states: list, n: dict, *, decay: bool, maximize: bool) -> tuple:
    import numpy

    g = decayed(p, g, n, decay, maximize)
    first = n["beta1"] * states[0] + (1 - n["beta1"]) * g
    largest = numpy.maximum(n["beta2"] * states[1], abs(g) + n["eps"])
    return p - n["lr"] / (1 - n["beta1"] ** n["step"]) * first / largest, first, largest


def _adamax_shared(values: dict[str, Any], **_: bool) -> dict[str, Any]:
    made = _corrections(values)
    return {**made, "step_size": ops.div(values["lr"], made["below1"])}


adamax_update = declare_update(
    "adamax_update", states=lambda **_: 2, numbers=_ADAM, flags=("decay", "maximize"), rule=_adamax,
    reference=_adamax_reference, shared=_adamax_shared,
    samples=lambda: [((3.0, 1e-2, 0.9, 0.99, 1e-8, 0.1), f) for f in ({}, {"decay": True, "maximize": True})],
    doc="One step of torch.optim.Adamax: Adam by the largest decayed |gradient| instead of the second moment.")


# ---------------------------------------------------------------- NAdam
def _nadam_shared(values: dict[str, Any], *, decay: bool, decoupled: bool, **_: bool) -> dict[str, Any]:
    made = _adam_shared(values, decay=decay, decoupled=decoupled)
    mu, following, product = (values[name] for name in ("mu", "mu_next", "mu_product"))
    made["now"] = ops.div(ops.mul(values["lr"], ops.sub(1.0, mu)), ops.sub(1.0, product))
    made["ahead"] = ops.div(ops.mul(values["lr"], following), ops.sub(1.0, ops.mul(product, following)))
    return made


def _nadam(p: Any, g: Any, states: list, n: Numbers, *, decay: bool, decoupled: bool, maximize: bool) -> tuple:
    p, g = _begin(p, g, n, decay, decoupled, maximize)
    first = ops.lerp(states[0], g, n("1-beta1", p.dtype))
    second = _second_moment(states[1], g, n)
    below = ops.add(ops.div(ops.sqrt(second), n("root", p.dtype)), n("eps", p.dtype))
    moved = ops.sub(p, ops.div(ops.mul(n("now", p.dtype), g), below))
    return ops.sub(moved, ops.div(ops.mul(n("ahead", p.dtype), first), below)), first, second


def _nadam_reference(p: Any, g: Any, states: list, n: dict, *, decay: bool, decoupled: bool, maximize: bool) -> tuple:
    p, g, first, second = _moments(p, g, states, n, decay, decoupled, maximize)
    below = (second / (1 - n["beta2"] ** n["step"])) ** 0.5 + n["eps"]
    now = n["lr"] * (1 - n["mu"]) / (1 - n["mu_product"])
    ahead = n["lr"] * n["mu_next"] / (1 - n["mu_product"] * n["mu_next"])
    return p - now * g / below - ahead * first / below, first, second


nadam_update = declare_update(
    "nadam_update", states=lambda **_: 2, numbers=(*_ADAM, "mu", "mu_next", "mu_product"),
    flags=("decay", "decoupled", "maximize"), rule=_nadam, reference=_nadam_reference, shared=_nadam_shared,
    samples=lambda: [((3.0, 1e-2, 0.9, 0.99, 1e-8, 0.1, 0.8, 0.81, 0.5), f)
                     for f in ({}, {"decay": True}, {"decay": True, "decoupled": True}, {"maximize": True})],
    doc="One step of torch.optim.NAdam: Adam with Nesterov momentum, whose momentum `mu` and product of all momenta so "
    "far are given.")


# ---------------------------------------------------------------- RAdam
def _radam_shared(values: dict[str, Any], *, decay: bool, decoupled: bool, **_: bool) -> dict[str, Any]:
    made = _adam_shared(values, decay=decay, decoupled=decoupled)
    limit = ops.sub(ops.div(2.0, made["1-beta2"]), 1.0)
    powered = ops.sub(1.0, made["below2"])
    length = ops.sub(limit, ops.div(ops.mul(ops.mul(values["step"], 2.0), powered), made["below2"]))
    above = ops.mul(ops.mul(ops.sub(length, 4.0), ops.sub(length, 2.0)), limit)
    under = ops.mul(ops.mul(ops.sub(limit, 4.0), ops.sub(limit, 2.0)), length)
    ready = ops.gt(length, 5.0)
    ratio = ops.where(ready, ops.div(above, under), ops.mul(length, 0.0))
    return {**made, "ready": ready, "rectified": ops.mul(made["root"], ops.sqrt(ratio))}


def _radam(p: Any, g: Any, states: list, n: Numbers, *, decay: bool, decoupled: bool, maximize: bool) -> tuple:
    p, g = _begin(p, g, n, decay, decoupled, maximize)
    first = ops.lerp(states[0], g, n("1-beta1", p.dtype))
    second = _second_moment(states[1], g, n)
    step = ops.mul(n("step_size", p.dtype), first)
    adapted = ops.div(n("rectified", p.dtype), ops.add(ops.sqrt(second), n("eps", p.dtype)))
    return ops.sub(p, ops.where(n["ready"], ops.mul(step, adapted), step)), first, second


def _radam_reference(p: Any, g: Any, states: list, n: dict, *, decay: bool, decoupled: bool, maximize: bool) -> tuple:
    import numpy

    p, g, first, second = _moments(p, g, states, n, decay, decoupled, maximize)
    below2 = 1 - n["beta2"] ** n["step"]
    limit = 2 / (1 - n["beta2"]) - 1
    length = limit - 2 * n["step"] * n["beta2"] ** n["step"] / below2
    step = n["lr"] / (1 - n["beta1"] ** n["step"]) * first
    ratio = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
    adapted = step * abs(ratio * below2) ** 0.5 / (second**0.5 + n["eps"])
    return p - numpy.where(length > 5, adapted, step), first, second


radam_update = declare_update(
    "radam_update", states=lambda **_: 2, numbers=_ADAM, flags=("decay", "decoupled", "maximize"), rule=_radam,
    reference=_radam_reference, shared=_radam_shared,
    samples=lambda: [((step, 1e-2, 0.9, 0.99, 1e-8, 0.1), f) for step, f in
                     ((9.0, {}), (3.0, {"decay": True}), (20.0, {"decay": True, "decoupled": True}),
                      (2.0, {"maximize": True}))],
    doc="One step of torch.optim.RAdam: Adam once the variance of its step is known well enough, momentum before.")
