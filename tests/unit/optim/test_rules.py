"""Every rule against its formula in NumPy float64 over 50 steps; one op a step; state goes on; closures."""

import numpy as np
import pytest

import squall as sq
from squall import nn, optim
from squall.base import trace
from squall.optim import lr_scheduler

STEPS = 50
RANDOM = np.random.default_rng(17)
SHAPES = [(4, 3), (5,), ()]
STARTS = [RANDOM.normal(size=s) for s in SHAPES]
GRADIENTS = [[RANDOM.normal(size=s) for s in SHAPES] for _ in range(STEPS)]


def adagrad(p, grads, lr=0.1, lr_decay=0.01, eps=1e-10, decay=0.05):
    total = 0.2
    for t, g in enumerate(grads):
        g = g + decay * p
        total = total + g**2
        p = p - lr / (1 + t * lr_decay) * g / (np.sqrt(total) + eps)
    return p


def adadelta(p, grads, lr=0.7, rho=0.8, eps=1e-5):
    square = moved = 0.0
    for g in grads:
        square = rho * square + (1 - rho) * g**2
        step = np.sqrt(moved + eps) / np.sqrt(square + eps) * g
        moved = rho * moved + (1 - rho) * step**2
        p = p - lr * step
    return p


def rmsprop(p, grads, lr=0.01, alpha=0.9, eps=1e-6, momentum=0.5):
    square = mean = buffer = 0.0
    for g in grads:
        square, mean = alpha * square + (1 - alpha) * g**2, alpha * mean + (1 - alpha) * g
        buffer = momentum * buffer + g / (np.sqrt(square - mean**2) + eps)
        p = p - lr * buffer
    return p


def adamax(p, grads, lr=0.02, b1=0.8, b2=0.9, eps=1e-8):
    m = u = 0.0
    for t, g in enumerate(grads, 1):
        m, u = b1 * m + (1 - b1) * g, np.maximum(b2 * u, np.abs(g) + eps)
        p = p - lr / (1 - b1**t) * m / u
    return p


def nadam(p, grads, lr=0.02, b1=0.8, b2=0.95, eps=1e-8, psi=0.02):
    m = v = 0.0
    product = np.float32(1.0)
    for t, g in enumerate(grads, 1):
        mu, ahead = (b1 * (1 - 0.5 * 0.96 ** (k * psi)) for k in (t, t + 1))
        product = np.float32(product * np.float32(mu))
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        below = np.sqrt(v / (1 - b2**t)) + eps
        p = p - lr * (1 - mu) / (1 - float(product)) * g / below - lr * ahead / (1 - float(product) * ahead) * m / below
    return p


def radam(p, grads, lr=0.02, b1=0.8, b2=0.95, eps=1e-8):
    m = v = 0.0
    limit = 2 / (1 - b2) - 1
    for t, g in enumerate(grads, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        length = limit - 2 * t * b2**t / (1 - b2**t)
        step = m / (1 - b1**t)
        if length > 5:
            ratio = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
            step = step * np.sqrt(ratio) * np.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
        p = p - lr * step
    return p


def rprop(p, grads, lr=0.02):
    size, before = np.full_like(p, lr), np.zeros_like(p)
    for g in grads:
        sign = np.sign(g * before)
        size = np.clip(size * np.select([sign > 0, sign < 0], [1.2, 0.5], 1.0), 1e-6, 50)
        g = np.where(sign < 0, 0, g)
        p, before = p - np.sign(g) * size, g
    return p


def asgd(p, grads, lr=0.05, lambd=1e-2, alpha=0.75):
    eta = np.float64(np.float32(lr))
    for t, g in enumerate(grads, 1):
        p = p * (1 - lambd * eta) - eta * g
        eta = np.float64(np.float32(lr / (1 + lambd * lr * t) ** alpha))
    return p


RULES = {
    "Adagrad": (adagrad, {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.05, "initial_accumulator_value": 0.2}),
    "Adadelta": (adadelta, {"lr": 0.7, "rho": 0.8, "eps": 1e-5}),
    "RMSprop": (rmsprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "momentum": 0.5, "centered": True}),
    "Adamax": (adamax, {"lr": 0.02, "betas": (0.8, 0.9)}),
    "NAdam": (nadam, {"lr": 0.02, "betas": (0.8, 0.95), "momentum_decay": 0.02}),
    "RAdam": (radam, {"lr": 0.02, "betas": (0.8, 0.95)}),
    "Rprop": (rprop, {"lr": 0.02}),
    "ASGD": (asgd, {"lr": 0.05, "lambd": 1e-2}),
}
EVERY = {**{name: options for name, (_, options) in RULES.items()}, "SGD": {"lr": 0.1, "momentum": 0.9},
         "Adam": {"amsgrad": True}, "AdamW": {}, "Adafactor": {}}


def parameters(dtype=sq.float64, shapes=None):
    values = STARTS if shapes is None else [np.ones(s) for s in shapes]
    return [nn.Parameter(sq.tensor(v, dtype=dtype)) for v in values]


def steps(optimizer, held, first=0, last=STEPS):
    for gradients in GRADIENTS[first:last]:
        for p, g in zip(held, gradients, strict=True):
            p.grad = sq.tensor(g, dtype=p.dtype)
        optimizer.step()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("maximize", [False, True])
def test_fifty_steps_of_the_formula(name, maximize):
    formula, options = RULES[name]
    held = parameters()
    optimizer = getattr(optim, name)(held, maximize=maximize, **options)
    sign = -1.0 if maximize else 1.0
    steps(optimizer, held)
    for i, p in enumerate(held):
        expected = formula(STARTS[i], [sign * g[i] for g in GRADIENTS])
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_state_goes_on_to_the_same_bits(name):
    whole = parameters(sq.float32)
    steps(getattr(optim, name)(whole, **EVERY[name]), whole, 0, 8)
    first = parameters(sq.float32)
    optimizer = getattr(optim, name)(first, **EVERY[name])
    steps(optimizer, first, 0, 5)
    second = [nn.Parameter(p.detach().clone()) for p in first]
    resumed = getattr(optim, name)(second, **EVERY[name])
    resumed.load_state_dict(optimizer.state_dict())
    steps(resumed, second, 5, 8)
    assert [p.tolist() for p in whole] == [p.tolist() for p in second]


def kernels(name, count):
    """How many kernels a step over `count` matrices of different sizes compiles, beside those of its numbers."""
    held = parameters(sq.float32, [(3 + i, 5 + count) for i in range(count)])
    optimizer = getattr(optim, name)(held, **EVERY[name])
    for _ in range(2):
        for p in held:
            p.grad = sq.ones(*p.shape)
        before = trace.counters.get("kernels compiled", 0) + trace.counters.get("kernels lowered", 0)
        optimizer.step()
    return trace.counters.get("kernels compiled", 0) + trace.counters.get("kernels lowered", 0) - before


@pytest.mark.parametrize("name", sorted({*EVERY} - {"Adafactor"}))
def test_one_update_serves_all_parameters(name):
    recorded = []

    class Watched(getattr(optim, name)):
        def _record(self, members, *rest):
            recorded.append(len(members))
            super()._record(members, *rest)

    held = parameters(sq.float32, [(3, 2), (4,), (), (2, 2, 2)])
    optimizer = Watched(held, **EVERY[name])
    for _ in range(2):
        for p in held:
            p.grad = sq.ones(*p.shape)
        optimizer.step()
    assert recorded == [4, 4]
    kernels(name, 2)
    assert kernels(name, 9) == 0, "more parameters of other sizes need no more kernels"


@pytest.mark.parametrize("name", sorted({*EVERY} - {"Adafactor"}))
def test_numbers_that_change_are_no_new_capture(name):
    held = parameters(sq.float32)
    optimizer = getattr(optim, name)(held, **EVERY[name])
    given = [sq.tensor(g, dtype=sq.float32) for g in GRADIENTS[0]]

    def step():
        for p, g in zip(held, given, strict=True):
            p.grad = g * 2
        optimizer.step()

    compiled = sq.compile(step)
    for turn in range(6):
        compiled()
        optimizer.param_groups[0]["lr"] *= 0.9
        if turn == 2:
            captures = compiled.captures
    assert compiled.captures == captures


def test_momentum_that_a_schedule_moves_is_no_new_capture():
    held = parameters(sq.float32)
    optimizer = optim.Adam(held, lr=0.1)
    schedule = lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=20)

    def step():
        for p in held:
            p.grad = p.detach() * 2
        optimizer.step()

    compiled = sq.compile(step)
    for turn in range(9):
        compiled()
        schedule.step()
        if turn == 3:
            captures = compiled.captures
    assert compiled.captures == captures


def test_a_parameter_without_gradient_parts_from_the_rest():
    held = parameters()
    optimizer = optim.NAdam(held, lr=0.1)
    for turn in range(3):
        for i, p in enumerate(held):
            p.grad = sq.ones(*p.shape, dtype=sq.float64) if i or turn != 1 else None
        optimizer.step()
    assert [optimizer.state[p]["step"].item() for p in held] == [2.0, 3.0, 3.0]


def quadratic(held, targets):
    return sum(((p - t) ** 2 * (i + 1)).sum() for i, (p, t) in enumerate(zip(held, targets, strict=True)))


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_finds_a_minimum(search):
    held, targets = parameters(), [sq.tensor(g) for g in GRADIENTS[3]]
    optimizer = optim.LBFGS(held, lr=0.5 if search is None else 1, max_iter=60, line_search_fn=search)

    def closure():
        optimizer.zero_grad()
        loss = quadratic(held, targets)
        loss.backward()
        return loss

    before = closure().item()
    assert optimizer.step(closure).item() == before
    assert quadratic(held, targets).item() < 1e-8
    again = optim.LBFGS(held)
    again.load_state_dict(optimizer.state_dict())
    assert again.state[held[0]]["n_iter"] == optimizer.state[held[0]]["n_iter"]


def test_muon_makes_directions_orthogonal():
    p = nn.Parameter(sq.zeros(6, 4))
    g = RANDOM.normal(size=(6, 4))
    p.grad = sq.tensor(g, dtype=sq.float32)
    optim.Muon([p], lr=1.0, weight_decay=0.0, momentum=0.0, nesterov=False).step()
    scale = (6 / 4) ** 0.5
    values = np.linalg.svd(p.detach().numpy() / scale)[1]
    assert (values > 0.6).all() and (values < 1.3).all()
    u, _, v = np.linalg.svd(g, full_matrices=False)
    assert np.sum(-p.detach().numpy() / scale * (u @ v)) > 0.85 * 4
    with pytest.raises(ValueError, match="only supports 2D parameters"):
        optim.Muon([nn.Parameter(sq.zeros(3))])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: optim.Adadelta(p, rho=1.5), "Invalid rho value: 1.5"),
        (lambda p: optim.Rprop(p, etas=(1.5, 1.2)), "Invalid eta values"),
        (lambda p: optim.RAdam(p, betas=(1.0, 0.9)), "Invalid beta parameter at index 0"),
        (lambda p: optim.RMSprop(p, eps=-1), "Invalid epsilon value: -1"),
        (lambda p: optim.Adafactor(p, d=0.5), "Clipping threshold d should be >= 1"),
        (lambda p: optim.LBFGS([{"params": p[:1]}, {"params": p[1:]}]), "doesn't support per-parameter options"),
    ],
)
def test_wrong_options(make, words):
    with pytest.raises(ValueError, match=words):
        make(parameters())
