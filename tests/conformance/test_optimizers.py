"""Fifty optimizer steps on the same gradients as PyTorch's: equal to float32 rounding. State goes both ways."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import squall as sq  # noqa: E402
from squall import nn, optim  # noqa: E402

pytestmark = pytest.mark.peer

STEPS = 50
SHAPES = [(16, 8), (8,), (3, 3, 2, 2), ()]
CASES = {
    "SGD": {"lr": 0.05},
    "SGD momentum": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "SGD nesterov": {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    "SGD dampening": {"lr": 0.05, "momentum": 0.8, "dampening": 0.2, "maximize": True},
    "Adam": {"lr": 0.01},
    "Adam decay": {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.95)},
    "Adam amsgrad": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01, "weight_decay": 0.1},
    "AdamW maximize": {"lr": 0.01, "maximize": True, "eps": 1e-3},
}


def gradients(seed):
    random = np.random.default_rng(seed)
    scales = 10.0 ** random.uniform(-3, 1, STEPS)
    return [[(scale * random.normal(size=s)).astype(np.float32) for s in SHAPES] for scale in scales]


def starts():
    random = np.random.default_rng(0)
    return [random.normal(size=s).astype(np.float32) for s in SHAPES]


def ours(name, options):
    parameters = [nn.Parameter(sq.tensor(v)) for v in starts()]
    return parameters, getattr(optim, name.split()[0])(parameters, **options)


def theirs(name, options, dtype=torch.float32):
    parameters = [torch.nn.Parameter(torch.tensor(v, dtype=dtype)) for v in starts()]
    return parameters, getattr(torch.optim, name.split()[0])(parameters, **options)


def step_ours(parameters, optimizer, values):
    for p, g in zip(parameters, values, strict=True):
        p.grad = sq.tensor(g)
    optimizer.step()


def step_theirs(parameters, optimizer, values):
    for p, g in zip(parameters, values, strict=True):
        p.grad = torch.tensor(g, dtype=p.dtype)
    optimizer.step()


@pytest.mark.parametrize("name", CASES)
def test_fifty_steps(name):
    mine, optimizer = ours(name, CASES[name])
    other, torch_optimizer = theirs(name, CASES[name])
    exact, exact_optimizer = theirs(name, CASES[name], torch.float64)
    for values in gradients(1):
        step_ours(mine, optimizer, values)
        step_theirs(other, torch_optimizer, values)
        step_theirs(exact, exact_optimizer, values)
    for p, q, true in zip(mine, other, exact, strict=True):
        reference = true.detach().numpy()
        error, allowed = abs(p.detach().numpy() - reference), abs(q.detach().numpy() - reference)
        unit = np.spacing(np.abs(reference).max().astype(np.float32))
        assert error.max() <= 2 * allowed.max() + 4 * unit, (error.max(), allowed.max(), unit)


@pytest.mark.parametrize("name", ["SGD momentum", "Adam", "AdamW"])
def test_a_changing_learning_rate(name):
    mine, optimizer = ours(name, CASES[name])
    other, torch_optimizer = theirs(name, CASES[name])
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, 1e-4)
    torch_schedule = torch.optim.lr_scheduler.CosineAnnealingLR(torch_optimizer, 20, 1e-4)
    for values in gradients(2):
        step_ours(mine, optimizer, values)
        step_theirs(other, torch_optimizer, values)
        schedule.step()
        torch_schedule.step()
        assert schedule.get_last_lr() == pytest.approx(torch_schedule.get_last_lr(), rel=1e-12)
    for p, q in zip(mine, other, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", ["SGD momentum", "Adam amsgrad", "AdamW"])
def test_state_dictionaries_go_to_squall_and_on(name):
    other, torch_optimizer = theirs(name, CASES[name])
    values = gradients(3)
    for g in values[:10]:
        step_theirs(other, torch_optimizer, g)
    mine, optimizer = ours(name, CASES[name])
    state = torch_optimizer.state_dict()
    converted = {
        "state": {
            i: {k: sq.tensor(v.numpy()) if torch.is_tensor(v) else v for k, v in entry.items()}
            for i, entry in state["state"].items()
        },
        "param_groups": state["param_groups"],
    }
    optimizer.load_state_dict(converted)
    with sq.no_grad():
        for p, q in zip(mine, other, strict=True):
            p.copy_(sq.tensor(q.detach().numpy()))
    for g in values[10:20]:
        step_ours(mine, optimizer, g)
        step_theirs(other, torch_optimizer, g)
    for p, q in zip(mine, other, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=2e-6, atol=2e-6)
    back = optimizer.state_dict()
    assert set(back["state"][0]) == set(state["state"][0])
    assert set(state["param_groups"][0]) <= set(back["param_groups"][0])


SCHEDULES = {
    "StepLR": {"step_size": 3, "gamma": 0.9},
    "MultiStepLR": {"milestones": [5, 5, 40, 120], "gamma": 0.5},
    "ConstantLR": {"factor": 0.3, "total_iters": 30},
    "LinearLR": {"start_factor": 0.1, "total_iters": 60},
    "ExponentialLR": {"gamma": 0.98},
    "PolynomialLR": {"total_iters": 150, "power": 1.7},
    "LambdaLR": {"lr_lambda": lambda t: 1 / (1 + t)},
    "MultiplicativeLR": {"lr_lambda": lambda t: 0.99 if t % 2 else 1.005},
    "SWALR": {"swa_lr": 0.05, "anneal_epochs": 30},
    "CosineAnnealingLR": {"T_max": 7, "eta_min": 0.01},
    "CosineAnnealingWarmRestarts": {"T_0": 10, "T_mult": 2, "eta_min": 0.001},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.9, "step_size_up": 13, "step_size_down": 7, "mode": "triangular2"},
    "CyclicLR exp": {"base_lr": 0.1, "max_lr": 0.9, "step_size_up": 20, "mode": "exp_range", "gamma": 0.99},
    "OneCycleLR": {"max_lr": 0.7, "total_steps": 210},
    "OneCycleLR three": {"max_lr": 0.7, "epochs": 21, "steps_per_epoch": 10, "three_phase": True,
                         "anneal_strategy": "linear", "pct_start": 0.4},
}


def test_averages_of_a_model():
    theirs, mine = torch.nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    other = torch.optim.swa_utils.AveragedModel(theirs, use_buffers=True)
    own = optim.swa_utils.AveragedModel(mine, use_buffers=True)
    assert list(own.state_dict()) == sorted(other.state_dict(), key=list(own.state_dict()).index)
    for seed in range(4):
        x = np.random.default_rng(seed).normal(size=(5, 3)).astype(np.float32)
        theirs(torch.tensor(x)), mine(sq.tensor(x))
        with torch.no_grad(), sq.no_grad():
            theirs.weight.add_(0.1 * seed), mine.weight.add_(0.1 * seed)
        other.update_parameters(theirs), own.update_parameters(mine)
    for key, value in other.state_dict().items():
        if key.endswith("tracked"):  # counts that PyTorch averages by rounding down
            continue
        np.testing.assert_allclose(own.state_dict()[key].numpy(), value.numpy(), rtol=1e-5, err_msg=key)


def sequence(module, optimizer):
    """Warm up, then restarts, then a decay."""
    s = module.optim.lr_scheduler
    parts = [s.LinearLR(optimizer, 0.1, total_iters=20), s.CosineAnnealingWarmRestarts(optimizer, 15),
             s.ExponentialLR(optimizer, 0.97)]
    return s.SequentialLR(optimizer, parts, milestones=[20, 100])


def chain(module, optimizer):
    """Two schedules at once."""
    s = module.optim.lr_scheduler
    parts = [s.ConstantLR(optimizer, 0.1, total_iters=50), s.ExponentialLR(optimizer, 0.99)]
    return s.ChainedScheduler(parts)


def made(name, module, optimizer):
    if name in ("sequence", "chain"):
        return {"sequence": sequence, "chain": chain}[name](module, optimizer)
    place = module.optim.swa_utils if name == "SWALR" else module.optim.lr_scheduler
    return getattr(place, name.split()[0])(optimizer, **SCHEDULES[name])


@pytest.mark.parametrize("name", [*SCHEDULES, "sequence", "chain"])
@pytest.mark.parametrize("kind", ["SGD momentum", "Adam"])
def test_two_hundred_steps_of_a_schedule(name, kind):
    _, optimizer = ours(kind, {**CASES[kind], "lr": 0.5})
    _, torch_optimizer = theirs(kind, {**CASES[kind], "lr": 0.5})
    mine, other = made(name, sq, optimizer), made(name, torch, torch_optimizer)
    for step in range(200):
        assert mine.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-11, abs=1e-15), step
        for group, wanted in zip(optimizer.param_groups, torch_optimizer.param_groups, strict=True):
            assert group["lr"] == pytest.approx(wanted["lr"], rel=1e-11, abs=1e-15)
            assert group.get("momentum") == wanted.get("momentum") and group.get("betas") == wanted.get("betas")
        torch_optimizer.step()
        mine.step()
        other.step()
        if step == 77:  # taken up again from its state, in the middle
            state, mine = mine.state_dict(), made(name, sq, optimizer)
            mine.load_state_dict(state)
            for group, wanted in zip(optimizer.param_groups, torch_optimizer.param_groups, strict=True):
                group.update({k: v for k, v in wanted.items() if k != "params"})


@pytest.mark.parametrize("options", [
    {"patience": 3}, {"mode": "max", "threshold": 0.1, "factor": 0.5, "patience": 2},
    {"threshold_mode": "abs", "threshold": 0.05, "cooldown": 4, "patience": 1, "min_lr": 1e-3},
])
def test_lowering_on_a_plateau(options):
    _, optimizer = ours("SGD", {"lr": 0.5})
    _, torch_optimizer = theirs("SGD", {"lr": 0.5})
    mine = optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(torch_optimizer, **options)
    for metric in np.random.default_rng(0).normal(size=200).cumsum() * 0.1:
        mine.step(metric)
        other.step(metric)
        assert mine.get_last_lr() == other.get_last_lr() and mine.num_bad_epochs == other.num_bad_epochs
