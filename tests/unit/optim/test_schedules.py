"""Schedules against their closed forms, and taken up again from their state."""

import math

import pytest

import squall as sq
from squall import nn, optim
from squall.base import epoch
from squall.base.errors import TraceError
from squall.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, LRScheduler, StepLR


def optimizer(*rates):
    return optim.SGD([{"params": [nn.Parameter(sq.ones(1))], "lr": rate} for rate in rates or (0.8,)], 0.1)


CASES = {
    "step": (lambda o: StepLR(o, 3, 0.5), lambda t: 0.5 ** (t // 3)),
    "cosine": (lambda o: CosineAnnealingLR(o, 5, eta_min=0.0), lambda t: (1 + math.cos(math.pi * t / 5)) / 2),
    "lambda": (lambda o: LambdaLR(o, lambda t: 0.9**t), lambda t: 0.9**t),
    "linear": (lambda o: LinearLR(o, 0.25, 1.0, 4), lambda t: 0.25 + 0.75 * min(t, 4) / 4),
    "constant": (LRScheduler, lambda t: 1.0),
}


@pytest.mark.parametrize("name", CASES)
def test_closed_forms(name):
    make, factor = CASES[name]
    o = optimizer(0.8, 0.1)
    schedule = make(o)
    for t in range(14):
        expected = [0.8 * factor(t), 0.1 * factor(t)]
        assert schedule.get_last_lr() == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert [g["lr"] for g in o.param_groups] == schedule.get_last_lr()
        schedule.step()


@pytest.mark.parametrize("name", CASES)
def test_state_goes_on(name):
    make = CASES[name][0]
    first = optimizer()
    schedule = make(first)
    for _ in range(4):
        schedule.step()
    second = optimizer()
    resumed = make(second)
    resumed.load_state_dict(schedule.state_dict())
    second.load_state_dict(first.state_dict())
    for _ in range(5):
        schedule.step()
        resumed.step()
        assert resumed.get_last_lr() == schedule.get_last_lr()


def test_schedules_combine():
    o = optimizer(1.0)
    warm, decay = LinearLR(o, 0.5, 1.0, 2), StepLR(o, 3, 0.1)
    rates = []
    for _ in range(6):
        rates.append(o.param_groups[0]["lr"])
        warm.step()
        decay.step()
    assert rates == pytest.approx([0.5, 0.75, 1.0, 0.1, 0.1, 0.1])


def test_wrong_arguments():
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        StepLR(3, 1)
    with pytest.raises(KeyError, match="initial_lr"):
        StepLR(optimizer(), 3, last_epoch=4)
    with pytest.raises(ValueError, match="Expected 1 lr_lambdas, but got 2"):
        LambdaLR(optimizer(), [abs, abs])
    with pytest.raises(ValueError, match="Starting multiplicative factor"):
        LinearLR(optimizer(), 0.0)


def test_functions_are_not_part_of_the_state():
    state = LambdaLR(optimizer(), lambda t: 1.0).state_dict()
    assert state["lr_lambdas"] == [None] and state["last_epoch"] == 0


def test_stepping_inside_a_compiled_function_is_refused():
    schedule = StepLR(optimizer(), 1)
    epoch.capture.read = lambda container, key: container[key]
    try:
        with pytest.raises(TraceError, match=r"StepLR.step\(\) inside a compiled function"):
            schedule.step()
    finally:
        epoch.capture.read = None
