"""`sq.compile(..., freeze=True)`: packed weights give the bits of unpacked ones, whoever writes them and however."""

import numpy as np
import pytest

import squall as sq
from squall.base import config
from squall.base.errors import ArgumentError
from squall.engine import keeping
from squall.engine.bind import Binding
from squall.runtime import matrix_tiles
from tests.unit.compiler.nest_support import host_isas

pytestmark = pytest.mark.skipif(config.get("backend") != "cpu", reason="packs for compiled kernels")


class Pair:
    """A function of one argument, compiled and frozen."""

    def __init__(self, function):
        self.plain, self.frozen = sq.compile(lambda x: function(x)), sq.compile(lambda x: function(x), freeze=True)

    def check(self, x, times=3):
        with sq.no_grad():
            for _ in range(times):
                wanted, got = self.plain(x).numpy(), self.frozen(x).numpy()
                assert got.tobytes() == wanted.tobytes()

    def held(self):
        """How many packed forms the frozen calls read, by program."""
        calls = [f.call for f in self.frozen.frozen.values()]
        return [0 if c is None else len(c.spec[0].binding.held) for c in calls]


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 17, 60])
@pytest.mark.parametrize("shape", [(96, 100), (70, 130), (300, 40), (900, 64)])
def test_linear_layers_and_products_have_the_same_bits(rows, shape):
    depth, width = shape
    weight, bias = sq.randn(width, depth), sq.randn(width)
    along_columns = sq.randn(width, depth)
    pair = Pair(lambda x: sq.nn.functional.gelu(sq.nn.functional.linear(x, weight, bias)) @ along_columns)
    pair.check(sq.randn(rows, depth), 4)
    assert pair.held() in ([1], [2])


@pytest.mark.parametrize("rows", [1, 17, 64])
@pytest.mark.parametrize("isa", ["", *host_isas()])
def test_products_of_16_bits_and_bytes_have_the_same_bits(rows, isa):
    brain, small = sq.randn(70, 130).to(sq.bfloat16), sq.randint(-128, 128, (70, 130), dtype=sq.int8)
    wide = sq.nn.functional
    with config.options(isa=isa):
        pair = Pair(lambda x: wide.gelu(x @ brain.T).to(sq.float32))
        pair.check(sq.randn(rows, 130).to(sq.bfloat16), 4)
        bytes_of = Pair(lambda x: ((x.to(sq.int32) @ small.to(sq.int32).T).to(sq.float32) * 0.01).round()
                        .clamp(-128, 127).to(sq.int8))
        bytes_of.check(sq.randint(-128, 128, (rows, 130), dtype=sq.int8), 4)
        if isa == "" and matrix_tiles.granted():
            assert pair.held() == bytes_of.held() == [1]
            with sq.no_grad():
                brain[3], small[3] = 1.5, 7
            pair.check(sq.randn(rows, 130).to(sq.bfloat16), 2)
            bytes_of.check(sq.randint(-128, 128, (rows, 130), dtype=sq.int8), 2)


def test_a_packed_form_is_that_of_the_instruction_set():
    weight, x = sq.randint(-128, 128, (64, 64), dtype=sq.int8), sq.randint(-128, 128, (8, 64), dtype=sq.int8)
    for isa in ("", *host_isas(), ""):
        with config.options(isa=isa):
            Pair(lambda x: x.to(sq.int32) @ weight.to(sq.int32).T).check(x, 4)


def test_batches_of_weights():
    weight = sq.randn(3, 80, 96)
    pair = Pair(lambda x: x @ weight.transpose(1, 2))
    pair.check(sq.randn(3, 5, 96), 4)
    assert pair.held() == [1]


@pytest.mark.parametrize("filters, side, channels", [(64, 26, 40), (128, 9, 270)])
def test_convolutions_have_the_same_bits(filters, side, channels):
    weight = sq.randn(filters, channels, 3, 3)
    pair = Pair(lambda x: sq.nn.functional.conv2d(x, weight, padding=1, stride=2).relu())
    pair.check(sq.randn(1, channels, side, side), 4)
    assert pair.held() == [1]


def model():
    return sq.nn.Sequential(sq.nn.Linear(96, 128), sq.nn.ReLU(), sq.nn.Linear(128, 64))


WRITES = {
    "in place": lambda net: net[0].weight.data.mul_(2.0),
    "copied into": lambda net: net[0].weight.data.copy_(sq.randn(128, 96)),
    "part of it": lambda net: net[0].weight.data.__setitem__(3, 1.0),
    "through an alias": lambda net: net[2].weight.detach().t()[3:40].fill_(2.0),
    "replaced": lambda net: setattr(net[0].weight, "data", sq.randn(128, 96)),
    "another parameter": lambda net: setattr(net[2], "weight", sq.nn.Parameter(sq.randn(64, 128))),
    "loaded": lambda net: net.load_state_dict(model().state_dict()),
    "by numpy": lambda net: net[0].weight.detach().numpy().__setitem__(0, 5.0),
    "by dlpack": lambda net: np.from_dlpack(net[2].weight.detach()).__setitem__((0, 0), 5.0),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_is_seen_by_the_next_call(write):
    net = model()
    pair, x = Pair(net), sq.randn(4, 96)
    pair.check(x, 4)
    assert pair.held() == [2]
    before = pair.frozen(x).detach().numpy().copy()
    with sq.no_grad():
        WRITES[write](net)
    pair.check(x, 1)
    assert (pair.frozen(x).detach().numpy() != before).any()
    pair.check(x)


def test_memory_that_numpy_sees_is_read_where_it_lies():
    net = model()
    pair, x = Pair(net), sq.randn(4, 96)
    pair.check(x, 4)
    array = net[0].weight.detach().numpy()
    for number in range(3):
        array[number] = number
        pair.check(x, 2)
    assert pair.held() == [1]


def test_an_optimizer_step_and_training_between_calls():
    net = model()
    optimizer, pair, x = sq.optim.Adam(net.parameters(), lr=0.1), Pair(net), sq.randn(4, 96)
    for _ in range(3):
        pair.check(x, 3)
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
    pair.check(x, 2)
    assert pair.held() == [2]


def test_weights_that_always_change_are_given_up():
    weight = sq.randn(96, 96)
    pair, x = Pair(lambda x: x @ weight.T), sq.randn(4, 96)
    pair.check(x, 4)
    for _ in range(12):
        weight.mul_(-1.0)
        pair.check(x, 1)
    assert pair.held() == [0]


def test_programs_share_a_packed_form_and_let_go_of_it():
    weight = sq.randn(96, 96)
    pair = Pair(lambda x: x @ weight.T)
    before = len(keeping._packed)
    for rows in (4, 20):
        pair.check(sq.randn(rows, 96), 4)
    assert pair.held() == [1, 1]
    assert len(keeping._packed) == before + 1
    weight.add_(1.0)
    pair.check(sq.randn(4, 96), 2)
    pair.check(sq.randn(20, 96), 2)
    assert len(keeping._packed) == before + 1


def test_history_is_not_frozen_and_gradients_are_right():
    net = model()
    frozen, x = sq.compile(net, freeze=True), sq.randn(4, 96)
    for _ in range(4):
        frozen(x).sum().backward()
    once = net[0].weight.grad.clone() / 4.0
    net.zero_grad()
    net(x).sum().backward()
    assert np.allclose(once.numpy(), net[0].weight.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_bound_memory_reads_packed_forms(monkeypatch):
    weight = sq.randn(96, 96)
    x = np.random.default_rng(0).standard_normal((4, 96)).astype("f4")
    bound = sq.compile(lambda x: x @ weight.T, freeze=True).bind(x)
    plain = sq.compile(lambda x: x @ weight.T).bind(x)
    assert bound.run().tobytes() == plain.run().tobytes()
    weight[2] = 1.5
    assert bound.run().tobytes() == plain.run().tobytes()
    array = weight.numpy()
    array[3] = 2.5
    assert bound.run().tobytes() == plain.run().tobytes()
    array[4] = 3.5
    assert bound.run().tobytes() == plain.run().tobytes()


def test_an_operand_in_place_of_few_rows_is_not_packed():
    weight = sq.randn(384, 512)
    pair = Pair(lambda x: x @ weight)
    pair.check(sq.randn(1, 384), 4)
    assert pair.held() == [0]
    assert issubclass(keeping.KeptBinding, Binding)


def test_declared_sizes_do_not_go_with_it():
    with pytest.raises(ArgumentError, match="'freeze' does not go with 'dynamic_shapes'"):
        sq.compile(lambda x: x, dynamic_shapes=({0: sq.Dim("batch")},), freeze=True)


def test_many_sizes_become_one_program_that_is_not_frozen():
    weight = sq.randn(96, 96)
    pair = Pair(lambda x: x @ weight.T)
    for rows in range(2, 16):
        pair.check(sq.randn(rows, 96), 2)
    assert pair.frozen.captures < 12
    assert 1 <= sum(pair.held()) <= 8
