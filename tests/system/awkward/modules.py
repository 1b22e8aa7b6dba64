"""Awkward modules: modes, statistics, replaced and shared parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import squall as sq
from squall import nn, optim
from tests.system.awkward.table import data, network, program, train, trainer, weights


@program(captures=2)
def dropout_flips_between_train_and_eval(compile: Callable) -> list:
    model = network(nn.Dropout(0.5))
    apply = compile(lambda x: model(x).detach())
    sq.manual_seed(3)
    seen = []
    for i in range(6):
        model.train(i % 2 == 0)
        seen.append(apply(data(8, 4, seed=i)))
    return [*seen, sq.rand(3)]


@program(captures=3)
def batch_norm_statistics(compile: Callable) -> list:
    model = network(nn.BatchNorm1d(5))
    step = trainer(model, optim.SGD(model.parameters(), lr=0.1), compile)
    evaluate = compile(lambda x: model(x).detach())
    seen = train(step, 4)
    model.eval()
    seen.append(evaluate(data(6, 4)))
    model.train()
    return [*seen, *train(step, 2, 7), *weights(model)]


@program(captures=4)
def a_frozen_layer_thaws(compile: Callable) -> list:
    model = network()
    model[0].requires_grad_(False)
    step = trainer(model, optim.SGD(model.parameters(), lr=0.1), compile)
    seen = train(step, 3)
    model[0].requires_grad_(True)
    return [*seen, *train(step, 3, 3), *weights(model)]


@program(captures=2)
def a_parameter_is_replaced(compile: Callable) -> list:
    model = network()
    apply = compile(lambda x: model(x).detach())
    seen = [apply(data(3, 4))]
    model[0].weight = nn.Parameter(data(5, 4, seed=77))
    return [*seen, apply(data(3, 4)), apply(data(3, 4, seed=5))]


@program(captures=2)
def data_of_a_parameter_is_replaced(compile: Callable) -> list:
    model = network()

    @compile
    def decay() -> None:
        with sq.no_grad():
            for p in model.parameters():
                p.mul_(0.5)

    decay()
    model[0].weight.data = data(5, 4, seed=78)
    decay()
    decay()
    return weights(model)


@program(captures=1)
def a_model_and_its_copy(compile: Callable) -> list:
    model, target = network(), network()
    target.load_state_dict(model.state_dict())  # copies nobody has computed yet

    @compile
    def difference(x: Any) -> Any:
        return (model(x) - target(x)).detach()

    seen = [difference(data(3, 4))]
    with sq.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    return [*seen, difference(data(3, 4)), *weights(model), *weights(target)]


@program(captures=1)
def a_target_network_is_updated_inside(compile: Callable) -> list:
    model, target = network(), network()

    @compile
    def update(rate: Any) -> None:
        with sq.no_grad():
            for p, q in zip(target.parameters(), model.parameters(), strict=True):
                p.lerp_(q, rate)

    @compile
    def copy() -> None:
        with sq.no_grad():
            for p, q in zip(target.parameters(), model.parameters(), strict=True):
                p.copy_(q)

    seen = []
    for _ in range(3):
        with sq.no_grad():
            for p in model.parameters():
                p.add_(0.25)
        update(sq.tensor(0.1))
        seen += weights(target)
    copy()
    with sq.no_grad():
        for p in model.parameters():
            p.add_(0.25)
    seen += weights(target)
    copy()
    return [*seen, *weights(target), *weights(model)]


class Tied(nn.Module):
    """An embedding whose weight is also the output's."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4, bias=False)
        self.outer = nn.Linear(4, 4, bias=False)
        self.outer.weight = self.inner.weight
        with sq.no_grad():
            self.inner.weight.copy_(data(4, 4, seed=6))

    def forward(self, x: Any) -> Any:
        return self.outer(sq.tanh(self.inner(x)))[:, :2]


@program(captures=2)
def tied_weights(compile: Callable) -> list:
    model = Tied()
    step = trainer(model, optim.Adam(model.parameters(), lr=0.05), compile)
    return [*train(step), *weights(model)]


@program(captures=2)
def two_views_of_one_parameter(compile: Callable) -> list:
    whole = nn.Parameter(data(6, 4))
    optimizer = optim.SGD([whole], lr=0.1)

    @compile
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        first, second = whole[:3], whole[3:]
        loss = ((x @ first.t()) * (x @ second.t())).sum()
        loss.backward()
        optimizer.step()
        return loss

    return [*(step(data(2, 4, seed=i)).item() for i in range(4)), whole.detach(), whole.grad]
