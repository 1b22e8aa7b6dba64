"""Compiled steps follow the optimizer: its state from the first step on, its numbers, and its structure."""

import pytest

import squall as sq
from squall import nn, optim

MAKERS = {
    "sgd": lambda p: optim.SGD(p, 0.1, momentum=0.9),
    "sgd dampening": lambda p: optim.SGD(p, 0.1, momentum=0.9, dampening=0.5),
    "adamw": lambda p: optim.AdamW(p, 0.05),
    "amsgrad": lambda p: optim.Adam(p, 0.05, amsgrad=True),
}


def clear_first(model, optimizer, x):
    optimizer.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    optimizer.step()
    return loss


def clear_last(model, optimizer, x):
    loss = model(x).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


def run(maker, step, between=lambda optimizer, i: None, steps=7):
    sq.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = MAKERS[maker](model.parameters())
    losses = []
    for i in range(steps):
        losses.append(step(model, optimizer, sq.ones(3, 4) * (i + 1)).item())
        between(optimizer, i)
    return losses


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("step", [clear_first, clear_last])
def test_compiled_and_uncompiled_are_the_same_bits(maker, step):
    compiled = sq.compile(step)
    assert run(maker, compiled) == run(maker, step)
    assert compiled.captures <= 3


def schedule(optimizer, i):
    optimizer.param_groups[0]["lr"] *= 0.5


def reload(optimizer, i):
    if i == 2:
        optimizer.load_state_dict(optimizer.state_dict())


def nesterov(optimizer, i):
    if i == 2 and "nesterov" in optimizer.param_groups[0]:
        optimizer.param_groups[0]["nesterov"] = True


def decay(optimizer, i):
    optimizer.param_groups[0]["weight_decay"] = 0.1 * (i // 2)


@pytest.mark.parametrize("between", [schedule, reload, nesterov, decay])
@pytest.mark.parametrize("maker", ["sgd", "adamw"])
def test_changes_between_steps_are_followed(maker, between):
    assert run(maker, sq.compile(clear_last), between) == run(maker, clear_last, between)


def test_a_new_learning_rate_is_no_new_capture():
    compiled = sq.compile(clear_last)
    run("adamw", compiled, schedule, steps=2)
    before = compiled.captures
    run_again = sq.compile(clear_last)
    run("adamw", run_again, schedule, steps=9)
    assert run_again.captures == before
