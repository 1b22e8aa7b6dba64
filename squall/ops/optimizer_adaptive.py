"""Optimizer steps that scale by past gradients, element by element: Adagrad, Adadelta, RMSprop, Rprop, and ASGD.

How operands and results are laid out: `updates.py`.
"""

from __future__ import annotations

from typing import Any

from squall.ir.op import ops
from squall.ops.common import unmasked
from squall.ops.updates import Numbers, decayed, declare_update, left_over, mixed


# ---------------------------------------------------------------- Adagrad
def _adagrad(p: Any, g: Any, states: list, n: Numbers, *, decay: bool, maximize: bool) -> tuple:
    g = decayed(p, g, n, decay, maximize)
    total = ops.add(states[0], ops.mul(g, g))
    below = ops.add(ops.sqrt(total), n("eps", p.dtype))
    return ops.sub(p, ops.div(ops.mul(n("rate", p.dtype), g), below)), total


def _adagrad_shared(values: dict[str, Any], **_: bool) -> dict[str, Any]:
    slower = ops.add(ops.mul(ops.sub(values["step"], 1.0), values["lr_decay"]), 1.0)
    return {"rate": ops.div(values["lr"], slower)}


def _adagrad_reference(p: Any, g: Any, states: list, n: dict, *, decay: bool, maximize: bool) -> tuple:
    g = decayed(p, g, n, decay, maximize)
    total = states[0] + g * g
    return p - n["lr"] / (1 + (n["step"] - 1) * n["lr_decay"]) * g / (total**0.5 + n["eps"]), total


adagrad_update = declare_update(
    "adagrad_update", states=lambda **_: 1, numbers=("step", "lr", "lr_decay", "eps", "weight_decay"),
    flags=("decay", "maximize"), rule=_adagrad, reference=_adagrad_reference, shared=_adagrad_shared,
    samples=lambda: [((3.0, 0.1, 0.2, 1e-6, 0.1), f) for f in ({}, {"decay": True, "maximize": True})],
    doc="One step of torch.optim.Adagrad: the state is the sum of squared gradients.")


# ---------------------------------------------------------------- Adadelta
def _adadelta(p: Any, g: Any, states: list, n: Numbers, *, decay: bool, maximize: bool) -> tuple:
    g = decayed(p, g, n, decay, maximize)
    eps = n("eps", p.dtype)
    square = mixed(states[0], ops.mul(g, g), n, "rho", "1-rho")
    step = ops.mul(ops.div(ops.sqrt(ops.add(states[1], eps)), ops.sqrt(ops.add(square, eps))), g)
    moved = mixed(states[1], ops.mul(step, step), n, "rho", "1-rho")
    return ops.sub(p, ops.mul(n("lr", p.dtype), step)), square, moved


def _adadelta_reference(p: Any, g: Any, states: list, n: dict, *, decay: bool, maximize: bool) -> tuple:
    g = decayed(p, g, n, decay, maximize)
    square = n["rho"] * states[0] + (1 - n["rho"]) * g * g
    step = ((states[1] + n["eps"]) / (square + n["eps"])) ** 0.5 * g
    return p - n["lr"] * step, square, n["rho"] * states[1] + (1 - n["rho"]) * step * step


adadelta_update = declare_update(
    "adadelta_update", states=lambda **_: 2, numbers=("lr", "rho", "eps", "weight_decay"),
    flags=("decay", "maximize"), rule=_adadelta, reference=_adadelta_reference,
    shared=lambda values, **_: left_over(values, "rho"),
    samples=lambda: [((0.5, 0.9, 1e-6, 0.1), f) for f in ({}, {"decay": True, "maximize": True})],
    doc="One step of torch.optim.Adadelta: the states are the running means of squared gradients and of squared steps.")


# ---------------------------------------------------------------- RMSprop
def _rmsprop(p: Any, g: Any, states: list, n: Numbers, *, decay: bool, maximize: bool, centered: bool,
             momentum: bool) -> tuple:
    g = decayed(p, g, n, decay, maximize)
    square = mixed(states[0], ops.mul(g, g), n, "alpha", "1-alpha")
    spread, kept = square, [square]
    if centered:
        mean = ops.lerp(states[1], g, n("1-alpha", p.dtype))
        spread = ops.sub(square, ops.mul(mean, mean))
        kept.append(mean)
    step = ops.div(g, ops.add(ops.sqrt(spread), n("eps", p.dtype)))
    if momentum:
        step = ops.add(ops.mul(states[-1], n("momentum", p.dtype)), step)
        kept.append(step)
    return ops.sub(p, ops.mul(n("lr", p.dtype), step)), *kept


def _rmsprop_reference(p: Any, g: Any, states: list, n: dict, *, decay: bool, maximize: bool, centered: bool,
                       momentum: bool) -> tuple:
    g = decayed(p, g, n, decay, maximize)
    square = n["alpha"] * states[0] + (1 - n["alpha"]) * g * g
    mean = n["alpha"] * states[1] + (1 - n["alpha"]) * g if centered else 0.0
    step = g / ((square - mean * mean) ** 0.5 + n["eps"])
    step = n["momentum"] * states[-1] + step if momentum else step
    return p - n["lr"] * step, square, *([mean] if centered else []), *([step] if momentum else [])


def _rmsprop_samples() -> list:
    flags = ({}, {"decay": True}, {"momentum": True}, {"maximize": True, "momentum": True})
    # With little weight on the past the mean of squares stays above the square of the mean.
    centred = ((0.05, 0.999, 1e-3, 0.1, 0.8), {"centered": True, "momentum": True})
    return [*(((0.05, 0.9, 1e-3, 0.1, 0.8), given) for given in flags), centred]


rmsprop_update = declare_update(
    "rmsprop_update", states=lambda centered=False, momentum=False, **_: 1 + centered + momentum,
    numbers=("lr", "alpha", "eps", "weight_decay", "momentum"),
    flags=("decay", "maximize", "centered", "momentum"), rule=_rmsprop, reference=_rmsprop_reference,
    shared=lambda values, **_: left_over(values, "alpha"), samples=_rmsprop_samples,
    doc="One step of torch.optim.RMSprop: the states are the running mean of squared gradients, with `centered` that "
    "of gradients, and with `momentum` the buffer.")


# ---------------------------------------------------------------- Rprop
def _rprop(p: Any, g: Any, states: list, n: Numbers, *, maximize: bool) -> tuple:
    g = ops.neg(g) if maximize else g
    product = ops.mul(g, states[0])
    same, turned = ops.gt(product, 0.0), ops.lt(product, 0.0)
    dtype = p.dtype
    factor = ops.where(same, n("faster", dtype), ops.where(turned, n("slower", dtype), n("one", dtype)))
    size = ops.minimum(ops.maximum(ops.mul(states[1], factor), n("least", dtype)), n("most", dtype))
    g = unmasked(turned, g)
    return ops.sub(p, ops.mul(ops.sign(g), size)), g, size


def _rprop_reference(p: Any, g: Any, states: list, n: dict, *, maximize: bool) -> tuple:
    import numpy

    g = -g if maximize else g
    sign = numpy.sign(g * states[0])
    factor = numpy.where(sign > 0, n["faster"], numpy.where(sign < 0, n["slower"], 1.0))
    size = numpy.clip(states[1] * factor, n["least"], n["most"])
    g = numpy.where(sign < 0, 0.0, g)
    return p - numpy.sign(g) * size, g, size


rprop_update = declare_update(
    "rprop_update", states=lambda **_: 2, numbers=("slower", "faster", "least", "most"), flags=("maximize",),
    rule=_rprop, reference=_rprop_reference,
    shared=lambda values, **_: {"one": ops.add(ops.mul(values["slower"], 0.0), 1.0)},
    samples=lambda: [((0.5, 1.2, 1e-6, 50.0), f) for f in ({}, {"maximize": True})],
    doc="One step of torch.optim.Rprop: the states are the gradient before, 0 where the sign has changed, and the "
    "size of each element's step.")


# ---------------------------------------------------------------- ASGD
def _asgd(p: Any, g: Any, states: list, n: Numbers, *, decay: bool, maximize: bool) -> tuple:
    g = decayed(p, g, n, decay, maximize)
    p = ops.sub(ops.mul(p, n("shrink", p.dtype)), ops.mul(g, n("eta", p.dtype)))
    mean = ops.add(states[0], ops.mul(ops.sub(p, states[0]), n("mu", p.dtype)))
    return p, ops.where(n["whole"], p, mean)


def _asgd_shared(values: dict[str, Any], **_: bool) -> dict[str, Any]:
    return {"shrink": ops.sub(1.0, ops.mul(values["lambd"], values["eta"])), "whole": ops.eq(values["mu"], 1.0)}


def _asgd_reference(p: Any, g: Any, states: list, n: dict, *, decay: bool, maximize: bool) -> tuple:
    import numpy

    g = decayed(p, g, n, decay, maximize)
    p = p * (1 - n["lambd"] * n["eta"]) - n["eta"] * g
    return p, numpy.where(numpy.equal(n["mu"], 1), p, states[0] + n["mu"] * (p - states[0]))


asgd_update = declare_update(
    "asgd_update", states=lambda **_: 1, numbers=("eta", "mu", "lambd", "weight_decay"), flags=("decay", "maximize"),
    rule=_asgd, reference=_asgd_reference, shared=_asgd_shared,
    samples=lambda: [((0.1, mu, 1e-4, 0.1), f) for mu, f in ((0.5, {}), (1.0, {"decay": True, "maximize": True}))],
    doc="One step of torch.optim.ASGD: the state is the mean of the parameters so far, which moves by `mu`.")
