"""An optimizer's step over many parameters is one launch, whatever their sizes."""

from __future__ import annotations

import numpy as np
import pytest

import squall as sq
from squall import optim
from squall.base import config
from squall.engine import realize
from squall.nn.utils import clip_grad_norm_


@pytest.fixture
def plans(monkeypatch):
    made = []
    compile_plan = realize.compile_plan

    def kept(*arguments, **options):
        made.append(compile_plan(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(realize, "compile_plan", kept)
    return made


def parameters(width):
    """Fifty, of many sizes, none of which another test has: the plan is made here."""
    draw = np.random.RandomState(width)
    shapes = [shape for i in range(25) for shape in ((width + i, 5), (3 + i % 4,))]
    made = [sq.nn.Parameter(sq.tensor(draw.standard_normal(s).astype(np.float32))) for s in shapes]
    for p in made:
        p.grad = sq.tensor(draw.standard_normal(tuple(p.shape)).astype(np.float32))
    sq.synchronize()
    return made


RULES = [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}), ("Adam", {}),
    ("Adam", {"amsgrad": True}), ("AdamW", {"weight_decay": 0.1}), ("RMSprop", {}), ("Adagrad", {}),
    ("Adadelta", {}), ("Adamax", {}), ("NAdam", {}), ("RAdam", {}), ("Rprop", {}), ("ASGD", {}),
]


@pytest.mark.parametrize("number", range(len(RULES)), ids=lambda i: f"{RULES[i][0]}-{i}")
def test_a_step_over_fifty_parameters_is_one_launch(plans, number):
    name, options = RULES[number]
    own = parameters(100 + number)
    optimizer = getattr(optim, name)(own, **options)
    optimizer.step()
    sq.synchronize()
    plans.clear()
    for p in own:
        p.grad = p.grad + 1.0
    sq.synchronize()
    plans.clear()
    optimizer.step()
    sq.synchronize()
    for plan in plans:  # the plan of the second step; none if it is that of the first
        updates = [s.units for s in plan.steps if s.units != 1 or len(s.words) > 8]
        widest = max(high - low for low, high in plan.regions)
        assert widest >= 50 and len(updates) <= 51
        assert plan.launches <= 2  # what all share, such as the step's number, may come first
        assert len({s.key for s in plan.steps}) <= 3


def test_clipping_by_norm_adds_few_launches(plans):
    own = parameters(300)
    optimizer = optim.Adam(own)
    clip_grad_norm_(own, 1.0)
    optimizer.step()
    sq.synchronize()
    (plan,) = [p for p in plans if len(p.steps) > 50]
    assert plan.launches <= 5


def test_one_launch_gives_the_bits_of_many():
    def stepped(fuse):
        with config.options(fuse=fuse):
            own = parameters(400)
            optimizer = optim.AdamW(own)
            for _ in range(3):
                clip_grad_norm_(own, 1.0)
                optimizer.step()
            return [p.detach().numpy().tobytes() for p in own]

    assert stepped(True) == stepped(False)

