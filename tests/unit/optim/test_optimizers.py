"""SGD and Adam against their formulas in float64, parameter groups, and state dictionaries."""

import numpy as np
import pytest

import squall as sq
from squall import nn, optim
from squall.base import epoch

RANDOM = np.random.default_rng(11)
STEPS = 12
SHAPES = [(3, 4), (5,), ()]
STARTS = [RANDOM.normal(size=s) for s in SHAPES]
GRADIENTS = [[RANDOM.normal(size=s) for s in SHAPES] for _ in range(STEPS)]


def run(make, dtype=sq.float64, before_step=lambda optimizer, step: None):
    parameters = [nn.Parameter(sq.tensor(v, dtype=dtype)) for v in STARTS]
    optimizer = make(parameters)
    for step, gradients in enumerate(GRADIENTS):
        optimizer.zero_grad()
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = sq.tensor(g, dtype=dtype)
        before_step(optimizer, step)
        optimizer.step()
    return [p.detach().numpy() for p in parameters]


def sgd(p, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
    buffer = None
    for g in p[1]:
        g = -g if maximize else g
        g = g + weight_decay * p[0]
        if momentum:
            buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
            g = g + momentum * buffer if nesterov else buffer
        p = (p[0] - lr * g, p[1])
    return p[0]


def adam(start, gradients, lr, betas, eps, weight_decay=0.0, decoupled=False, amsgrad=False, maximize=False):
    p, m, v, largest = start, 0.0, 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        g = -g if maximize else g
        p, g = (p * (1 - lr * weight_decay), g) if decoupled else (p, g + weight_decay * p)
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
        largest = np.maximum(largest, v)
        root = np.sqrt(largest if amsgrad else v) / np.sqrt(1 - betas[1] ** t)
        p = p - lr / (1 - betas[0] ** t) * m / (root + eps)
    return p


def columns():
    return [(start, [g[i] for g in GRADIENTS]) for i, start in enumerate(STARTS)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        {"maximize": True, "weight_decay": 0.1},
    ],
)
@pytest.mark.parametrize(("dtype", "rtol"), [(sq.float64, 1e-12), (sq.float32, 2e-5)])
def test_sgd(options, dtype, rtol):
    got = run(lambda p: optim.SGD(p, 0.1, **options), dtype)
    for value, column in zip(got, columns(), strict=True):
        np.testing.assert_allclose(value, sgd(column, 0.1, **options), rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled": True},
        {"betas": (0.5, 0.9), "eps": 1e-2, "maximize": True},
        {"amsgrad": True, "weight_decay": 0.05},
        {"amsgrad": True, "weight_decay": 0.05, "decoupled": True},
    ],
)
@pytest.mark.parametrize(("dtype", "rtol"), [(sq.float64, 1e-11), (sq.float32, 2e-5)])
def test_adam_and_adamw(options, dtype, rtol):
    full = {"betas": (0.9, 0.999), "eps": 1e-8, **options}
    given = {k: v for k, v in full.items() if k != "decoupled"}
    kind = optim.AdamW if options.get("decoupled") else optim.Adam
    got = run(lambda p: kind(p, 0.01, **given), dtype)
    for value, column in zip(got, columns(), strict=True):
        np.testing.assert_allclose(value, adam(*column, 0.01, **full), rtol=rtol, atol=rtol)


def test_defaults_are_pytorchs():
    p = [nn.Parameter(sq.zeros(1))]
    group = optim.AdamW(p).param_groups[0]
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (1e-3, (0.9, 0.999), 1e-8, 1e-2)
    assert optim.Adam(p).param_groups[0]["weight_decay"] == 0
    group = optim.SGD(p).param_groups[0]
    assert (group["lr"], group["momentum"], group["dampening"], group["nesterov"]) == (1e-3, 0, 0, False)


def test_a_learning_rate_that_changes_every_step_is_followed():
    rates = [0.1 / (1 + i) for i in range(STEPS)]

    def change(optimizer, step):
        optimizer.param_groups[0]["lr"] = rates[step]

    got = run(lambda p: optim.SGD(p, 1.0), before_step=change)
    expected = STARTS[0] - sum(r * g[0] for r, g in zip(rates, GRADIENTS, strict=True))
    np.testing.assert_allclose(got[0], expected, rtol=1e-12)


def test_parameters_without_gradient_stay_and_keep_their_own_step_count():
    a, b = nn.Parameter(sq.ones(1)), nn.Parameter(sq.ones(1))
    optimizer = optim.Adam([a, b], 0.1)
    for step in range(3):
        a.grad = sq.ones(1)
        b.grad = sq.ones(1) if step != 1 else None
        before = b.item()
        optimizer.step()
        assert (b.item() == before) == (step == 1)
    assert optimizer.state[a]["step"].item() == 3.0 and optimizer.state[b]["step"].item() == 2.0


def test_groups_have_options_of_their_own():
    a, b = nn.Parameter(sq.ones(1)), nn.Parameter(sq.ones(1))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    for p in (a, b):
        p.grad = sq.ones(1)
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item()], [0.9, 0.5], rtol=1e-6)
    extra = nn.Parameter(sq.ones(1))
    optimizer.add_param_group({"params": [("name", extra)], "momentum": 0.9})
    assert optimizer.param_groups[2]["param_names"] == ["name"] and optimizer.param_groups[2]["lr"] == 0.1


def test_structure_of_groups_moves_the_epoch_and_numbers_do_not():
    optimizer = optim.SGD([nn.Parameter(sq.ones(1))], lr=0.1, momentum=0.9)
    group, before = optimizer.param_groups[0], epoch.structure
    group["lr"] = 0.05
    group["momentum"] = 0.5
    group.update(lr=0.01)
    assert epoch.structure == before
    group["nesterov"] = True
    assert epoch.structure == before + 1
    group["momentum"] = 0.0
    assert epoch.structure == before + 2


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda p: optim.SGD([]), ValueError, "empty parameter list"),
        (lambda p: optim.SGD(p), TypeError, "iterable of Tensors or dicts"),
        (lambda p: optim.SGD([1]), TypeError, "can only optimize Tensors, but one of the params is int"),
        (lambda p: optim.SGD({p}), TypeError, "ordered collections"),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda p: optim.SGD([p], nesterov=True), ValueError, "Nesterov momentum requires a momentum"),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, "Invalid beta parameter at index 1: 1.0"),
        (lambda p: optim.SGD([p, p]), ValueError, "appear twice"),
        (lambda p: optim.SGD([{"params": [p]}, {"params": [p]}]), ValueError, "more than one parameter group"),
        (lambda p: optim.SGD([p * 2]), ValueError, "non-leaf"),
        (lambda p: optim.Adam([p], differentiable=True), ValueError, "differentiable=True"),
    ],
)
def test_wrong_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call(nn.Parameter(sq.ones(1)))


def steps(optimizer, parameters, first, last):
    for gradients in GRADIENTS[first:last]:
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = sq.tensor(g, dtype=p.dtype)
        optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.AdamW(p, 0.01),
        lambda p: optim.Adam(p, 0.01, amsgrad=True),
        lambda p: optim.SGD(p, 0.1, momentum=0.9, dampening=0.1),
        lambda p: optim.SGD(p, 0.1),
    ],
)
def test_state_goes_on_to_the_same_bits(make):
    whole = [nn.Parameter(sq.tensor(v, dtype=sq.float32)) for v in STARTS]
    steps(make(whole), whole, 0, 8)
    first = [nn.Parameter(sq.tensor(v, dtype=sq.float32)) for v in STARTS]
    optimizer = make(first)
    steps(optimizer, first, 0, 5)
    second = [nn.Parameter(p.detach().clone()) for p in first]
    resumed = make(second)
    resumed.load_state_dict(optimizer.state_dict())
    steps(resumed, second, 5, 8)
    for a, b in zip(whole, second, strict=True):
        assert a.tolist() == b.tolist()


def test_state_dict_has_pytorchs_form_and_shares_nothing_after_loading():
    p = [nn.Parameter(sq.ones(2)), nn.Parameter(sq.ones(3))]
    optimizer = optim.AdamW([{"params": p[:1]}, {"params": p[1:], "lr": 0.5}])
    assert optimizer.state_dict()["state"] == {}
    for q in p:
        q.grad = sq.ones(*q.shape)
    optimizer.step()
    state = optimizer.state_dict()
    assert [g["params"] for g in state["param_groups"]] == [[0], [1]] and state["param_groups"][1]["lr"] == 0.5
    assert list(state["state"][1]) == ["step", "exp_avg", "exp_avg_sq"]
    twin = optim.AdamW([{"params": p[:1]}, {"params": p[1:]}])
    twin.load_state_dict(state)
    assert twin.param_groups[1]["lr"] == 0.5
    optimizer.state[p[0]]["exp_avg"].fill_(7)
    assert twin.state[p[0]]["exp_avg"].tolist() != [7.0, 7.0]


def test_loading_something_else_changes_nothing():
    p, q = nn.Parameter(sq.ones(2)), nn.Parameter(sq.ones(3))
    optimizer, other = optim.SGD([p], 0.1, momentum=0.9), optim.SGD([q], 0.2, momentum=0.9)
    q.grad = sq.ones(3)
    other.step()
    with pytest.raises(ValueError, match="'momentum_buffer' has shape"):
        optimizer.load_state_dict(other.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.1
    with pytest.raises(ValueError, match="doesn't match the size"):
        optimizer.load_state_dict(optim.SGD([p, q]).state_dict())
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(optim.SGD([{"params": [p]}, {"params": [q]}]).state_dict())


def test_closure_hooks_and_repr():
    p, seen = nn.Parameter(sq.ones(1)), []
    optimizer = optim.SGD([p], 0.5)
    before = optimizer.register_step_pre_hook(lambda o, a, k: seen.append("before"))
    optimizer.register_step_post_hook(lambda o, a, k: seen.append("after"))

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0 and p.item() == 0.0 and seen == ["before", "after"]
    before.remove()
    optimizer.step()
    assert seen == ["before", "after", "after"]
    assert repr(optimizer).startswith("SGD (\nParameter Group 0\n    dampening: 0\n")
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0]


def test_a_step_leaves_nothing_pending():
    p = nn.Parameter(sq.ones(4))
    (p * p).sum().backward()
    optim.AdamW([p]).step()
    assert p.detach().node.buffer is not None
