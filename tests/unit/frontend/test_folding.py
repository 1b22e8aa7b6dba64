"""`sq.compile(..., freeze=True)`: batch normalisation goes into weights, all calls round alike, none is stale."""

import numpy as np
import pytest

import squall as sq
from squall.base import config

nn = sq.nn
pytestmark = pytest.mark.skipif(config.get("backend") != "cpu", reason="freezes compiled calls")


def settled(module):
    """A module that evaluates, its running statistics and parameters away from what they begin with."""
    with sq.no_grad():
        for part in module.modules():
            if getattr(part, "running_mean", None) is not None:
                part.running_mean.copy_(sq.randn(part.num_features))
                part.running_var.copy_(sq.rand(part.num_features) + 0.5)
                if part.weight is not None:
                    part.weight.copy_(sq.randn(part.num_features))
                    part.bias.copy_(sq.randn(part.num_features))
    return module.eval()


def exact(module, x):
    """The results in float64."""
    state = {name: value.double() for name, value in module.state_dict().items()}
    module.double()
    with sq.no_grad():
        out = module(x.double()).numpy()
    module.float()
    module.load_state_dict(state)
    return out


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=3e-5 * np.abs(wanted).max())


def notes(compiled):
    return [p.folded.notes if p.folded is not None else None for p in compiled.programs]


LAYERS = {
    "convolution": (lambda: [nn.Conv2d(6, 40, 3, padding=1, bias=False), nn.BatchNorm2d(40)], (2, 6, 7, 7)),
    "with a bias": (lambda: [nn.Conv2d(6, 8, 3, stride=2), nn.BatchNorm2d(8)], (2, 6, 7, 7)),
    "without scale": (lambda: [nn.Conv1d(6, 8, 3), nn.BatchNorm1d(8, affine=False)], (2, 6, 9)),
    "grouped": (lambda: [nn.Conv2d(6, 12, 3, groups=3), nn.BatchNorm2d(12)], (2, 6, 7, 7)),
    "depthwise": (lambda: [nn.Conv2d(48, 48, 3, groups=48), nn.BatchNorm2d(48)], (2, 48, 7, 7)),
    "transposed": (lambda: [nn.ConvTranspose2d(6, 5, 3, stride=2), nn.BatchNorm2d(5)], (2, 6, 4, 4)),
    "three dimensions": (lambda: [nn.Conv3d(2, 4, 2), nn.BatchNorm3d(4)], (2, 2, 4, 4, 4)),
    "linear": (lambda: [nn.Linear(20, 30), nn.BatchNorm1d(30)], (5, 20)),
    "as many rows as channels": (lambda: [nn.Linear(20, 30, bias=False), nn.BatchNorm1d(30)], (30, 20)),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_batch_norm_goes_into_the_layer_before_it(layer):
    make, shape = LAYERS[layer]
    net, x = settled(nn.Sequential(*make(), nn.ReLU())), sq.randn(*shape)
    frozen = sq.compile(net, freeze=True)
    with sq.no_grad():
        results = [frozen(x).numpy() for _ in range(4)]
    (found,) = notes(frozen)
    assert [n.split(" into ")[0] for n in found] == ["mul", "add"]
    assert len({r.tobytes() for r in results}) == 1
    close(results[0], exact(net, x))


def test_a_transposed_layer_of_groups_keeps_its_normalisation():
    net, x = settled(nn.Sequential(nn.ConvTranspose2d(6, 6, 3, groups=2), nn.BatchNorm2d(6))), sq.randn(2, 6, 4, 4)
    frozen = sq.compile(net, freeze=True)
    with sq.no_grad():
        close(frozen(x).numpy(), exact(net, x))
    assert notes(frozen) == [[]]


class Block(nn.Module):
    """Two layers with a shortcut; the first normalisation's operand is read twice if `twice`."""

    def __init__(self, twice=False):
        super().__init__()
        self.one, self.two = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.Conv2d(8, 8, 1)
        self.first, self.second, self.twice = nn.BatchNorm2d(8), nn.BatchNorm2d(8), twice

    def forward(self, x):
        y = self.one(x)
        z = self.first(y).relu()
        z = self.second(self.two(z)) + x
        return z + y if self.twice else z.relu()


@pytest.mark.parametrize("twice", [False, True])
def test_a_result_that_others_read_too_keeps_its_normalisation(twice):
    net, x = settled(Block(twice)), sq.randn(2, 8, 6, 6)
    frozen = sq.compile(net, freeze=True)
    with sq.no_grad():
        close(frozen(x).numpy(), exact(net, x))
    (found,) = notes(frozen)
    assert len(found) == (2 if twice else 4)


def test_other_operands_of_a_product_stay():
    weight, by = sq.randn(8, 8), sq.randn(8)
    cases = {
        "rows": lambda x: (x @ weight.T) * by.view(8, 1),
        "whole": lambda x: nn.functional.linear(x, weight) * sq.ones(8, 8),
        "given": lambda x: nn.functional.linear(x, weight) * x[0],
        "shifted": lambda x: by - nn.functional.linear(x, weight),
    }
    x = sq.randn(8, 8)
    for function in cases.values():
        frozen = sq.compile(function, freeze=True)
        with sq.no_grad():
            assert frozen(x).numpy().tobytes() == function(x).numpy().tobytes()
        assert not any(notes(frozen))


@pytest.mark.parametrize("name", ["mul", "div", "add", "sub"])
def test_each_kind_of_scale_and_shift(name):
    weight, bias, by = sq.randn(8, 8), sq.randn(8), sq.rand(8) + 0.5
    for given in ((weight,), (weight, bias)):
        frozen = sq.compile(lambda x, given=given: getattr(nn.functional.linear(x, *given), name)(by), freeze=True)
        x = sq.randn(4, 8)
        with sq.no_grad():
            wanted = getattr(nn.functional.linear(x.double(), *(v.double() for v in given)), name)(by.double())
            close(frozen(x).numpy(), wanted.numpy())
        gains = name != "add" or len(given) == 2  # else the shift is as good where it is
        assert notes(frozen) == [[f"{name} into linear"] if gains else None]


def net_of_two():
    return settled(nn.Sequential(nn.Conv2d(4, 64, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(),
                                 nn.Linear(64 * 16, 8), nn.BatchNorm1d(8)))


WRITES = {
    "weight": lambda net: net[0].weight.mul_(2.0),
    "statistics": lambda net: net[1].running_mean.add_(1.0),
    "variance": lambda net: net[5].running_var.fill_(3.0),
    "replaced": lambda net: setattr(net[1].weight, "data", sq.randn(64)),
    "loaded": lambda net: net.load_state_dict(net_of_two().state_dict()),
    "by numpy": lambda net: net[0].weight.detach().numpy().__setitem__(0, 5.0),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_is_seen_by_the_next_call(write):
    net, x = net_of_two(), sq.randn(3, 4, 6, 6)
    frozen = sq.compile(net, freeze=True)
    with sq.no_grad():
        before = [frozen(x).numpy() for _ in range(4)][-1]
        WRITES[write](net)
        results = [frozen(x).numpy() for _ in range(4)]
    assert (results[0] != before).any()
    assert len({r.tobytes() for r in results}) == 1
    close(results[0], exact(net, x))


def test_memory_that_numpy_sees_is_read_by_every_call():
    net, x = net_of_two(), sq.randn(3, 4, 6, 6)
    frozen = sq.compile(net, freeze=True)
    with sq.no_grad():
        frozen(x)
        array = net[0].weight.detach().numpy()
        for number in range(4):
            array[number] = number
            close(frozen(x).numpy(), exact(net, x))


def test_weights_that_always_change():
    net, x = net_of_two(), sq.randn(3, 4, 6, 6)
    frozen = sq.compile(net, freeze=True)
    with sq.no_grad():
        for _ in range(12):
            net[0].weight.mul_(-1.0)
            results = [frozen(x).numpy() for _ in range(2)]
            assert results[0].tobytes() == results[1].tobytes()
    close(results[0], exact(net, x))
    assert frozen.captures == 1


def test_every_size_rounds_alike():
    net = net_of_two()
    frozen, whole = sq.compile(net, freeze=True), sq.randn(12, 4, 6, 6)
    with sq.no_grad():
        rows = [frozen(whole[:n]).numpy()[0] for n in range(2, 13) for _ in range(2)]
    assert len({r.tobytes() for r in rows}) == 1
    assert any(p.is_symbolic for p in frozen.programs) and all(p.folded is not None for p in frozen.programs)


def test_training_and_history_are_not_folded():
    net, x = net_of_two(), sq.randn(3, 4, 6, 6)
    frozen = sq.compile(net, freeze=True)
    frozen(x).sum().backward()
    assert notes(frozen) == [None]
    net.train()
    with sq.no_grad():
        before = net[1].running_mean.clone()
        out = frozen(x)
        assert (net[1].running_mean != before).any() and abs(float(out.mean(0).sub(net[5].bias).abs().max())) < 1e-3
    assert not any(notes(frozen))


def test_bound_memory_reads_folded_weights():
    net, x = net_of_two(), np.random.default_rng(0).standard_normal((3, 4, 6, 6)).astype("f4")
    frozen = sq.compile(net, freeze=True)
    bound = frozen.bind(x)
    for change in (lambda: None, lambda: net[1].running_mean.add_(1.0), lambda: net[0].weight.mul_(0.5)):
        with sq.no_grad():
            change()
        for _ in range(2):
            close(bound.run(), exact(net, sq.tensor(x)))


def test_work_on_weights_alone_is_done_once_and_keeps_bits():
    weight, scale = sq.randn(32, 16), sq.rand(32, 1)

    def function(x):
        normal = weight * (scale / weight.square().sum(1, keepdim=True).sqrt())
        return (x @ normal.T).tanh()

    plain, frozen, x = sq.compile(function), sq.compile(function, freeze=True), sq.randn(4, 16)
    with sq.no_grad():
        for _ in range(3):
            assert plain(x).numpy().tobytes() == frozen(x).numpy().tobytes()
        weight.mul_(2.0)
        assert plain(x).numpy().tobytes() == frozen(x).numpy().tobytes()
    labels = [s.label for s in frozen.programs[0].executable.plan.steps]
    assert len(labels) == 1 and len(plain.programs[0].executable.plan.steps) > 1


def test_what_a_small_weight_is_spread_to_is_not_kept():
    column = sq.randn(300)
    frozen = sq.compile(lambda x: x + column.view(300, 1).exp() * column.exp(), freeze=True)
    with sq.no_grad():
        frozen(sq.randn(300, 300))
    (program,) = frozen.programs
    assert all(n.shape != (300, 300) for n, e in zip(program.input_nodes, program.inputs, strict=True) if e.code == 5)


def test_explain_says_what_was_folded():
    net, x = net_of_two(), sq.randn(3, 4, 6, 6)
    with sq.no_grad():
        text = str(sq.explain(sq.compile(net, freeze=True), x))
    assert "mul into convolution, add into convolution, mul into linear, add into linear" in " ".join(text.split())
