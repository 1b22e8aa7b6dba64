"""Random graphs: compiled against the oracle, and the same bits whatever is fused, flushed apart or run by threads."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from squall.base.dtypes import bfloat16, bool_, float16, float32, float64, int32, int64
from squall.ir.op import constant, ops
from squall.runtime.native import native
from tests.unit.engine.harness import Built, Leaf, compiled, expected, same_bits, scalar

SHAPES = ((4, 6), (3, 40), (130, 5), (2, 3, 7), (6,), (1, 9))
UNARY = ("neg", "abs", "exp", "tanh", "relu", "sigmoid", "square", "sqrt", "gelu")
BINARY = ("add", "sub", "mul", "maximum", "minimum")
KINDS = ("unary", "binary", "reduce", "row", "move", "move", "write", "contract", "take", "update", "scan", "cast",
         "window", "place")  # fmt: skip


class Program:
    """A random program: a list of values, each made of earlier ones."""

    def __init__(self, draw, leaves):
        self.draw, self.leaves, self.values = draw, leaves, []
        rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        for _ in range(draw(st.integers(1, 3))):
            shape = draw(st.sampled_from(SHAPES))
            self.values.append(leaves(rng.uniform(-2, 2, shape).astype("f4")))
        for _ in range(draw(st.integers(3, 14))):
            self.values.append(self.step())

    def pick(self):
        return self.draw(st.sampled_from(self.values))

    def step(self):
        return getattr(self, self.draw(st.sampled_from(KINDS)))(self.pick())

    def unary(self, x):
        return getattr(ops, self.draw(st.sampled_from(UNARY)))(x)

    def binary(self, x):
        fitting = [v for v in self.values if v.shape == x.shape or v.shape == () or v.shape == x.shape[-1:]]
        return getattr(ops, self.draw(st.sampled_from(BINARY)))(x, self.draw(st.sampled_from([*fitting, x])))

    def reduce(self, x):
        if not x.shape:
            return ops.neg(x)
        dims = self.draw(st.sets(st.integers(0, len(x.shape) - 1), min_size=1))
        name = self.draw(st.sampled_from(("sum", "amax", "sum", "amin")))
        made = getattr(ops, name)(x, dims=tuple(sorted(dims)), keepdim=self.draw(st.booleans()))
        if self.draw(st.booleans()) and made.shape and len(made.shape) == len(x.shape):
            return ops.sub(x, made)
        return made

    def row(self, x):
        return ops.softmax(x, dim=len(x.shape) - 1) if x.shape else ops.abs(x)

    def move(self, x):
        if not x.shape:
            return ops.expand(x, shape=(3, 2))
        rank, kind = len(x.shape), self.draw(st.sampled_from(("permute", "reshape", "flip", "pad", "slice", "expand")))
        if kind == "permute":
            return ops.permute(x, dims=tuple(self.draw(st.permutations(range(rank)))))
        if kind == "reshape":
            total = int(np.prod(x.shape))
            options = [(total,), (1, total), *(((k, total // k)) for k in (2, 3, 5) if total % k == 0)]
            return ops.reshape(x, shape=self.draw(st.sampled_from(options)))
        if kind == "flip":
            return ops.flip(x, dims=(self.draw(st.integers(0, rank - 1)),))
        if kind == "pad":
            low = tuple(self.draw(st.integers(-1 if n > 2 else 0, 2)) for n in x.shape)
            return ops.pad(x, low=low, high=low[::-1] if len(set(x.shape)) == 1 else (1,) * rank, interior=(0,) * rank)
        if kind == "slice":
            d = self.draw(st.integers(0, rank - 1))
            start = self.draw(st.integers(0, x.shape[d] - 1))
            return ops.slice(x, constant(start, int64), dims=(d,), sizes=(x.shape[d] - start,), steps=(1,))
        return ops.expand(x, shape=(2, *x.shape))

    def write(self, x):
        if not x.shape:
            return ops.square(x)
        return ops.concat(x, self.unary(x), dim=self.draw(st.integers(0, len(x.shape) - 1)))

    def contract(self, x):
        return ops.contract(x, x, equation="ab,cb->ac") if len(x.shape) == 2 and x.shape[0] < 50 else ops.neg(x)

    def take(self, x):
        if not x.shape:
            return ops.abs(x)
        dim = self.draw(st.integers(0, len(x.shape) - 1))
        places = st.lists(st.integers(-x.shape[dim], x.shape[dim] - 1), min_size=1, max_size=5)
        index = self.leaves(np.array(self.draw(places), np.int64))
        if self.draw(st.booleans()):
            return ops.take(x, index, dim=dim)
        source = ops.take(self.unary(x), index, dim=dim)
        return ops.index_add(x, index, source, dim=dim)

    def update(self, x):
        if not x.shape:
            return ops.neg(x)
        dim = self.draw(st.integers(0, len(x.shape) - 1))
        size = self.draw(st.integers(1, x.shape[dim]))
        start = scalar(self.draw(st.integers(0, x.shape[dim] - size)), int64)
        other = scalar(self.draw(st.integers(0, x.shape[dim] - size)), int64)
        part = ops.slice(x, self.draw(st.sampled_from((start, other))), dims=(dim,), sizes=(size,), steps=(1,))
        return ops.update_slice(x, ops.mul(part, 2.0), start, dims=(dim,), steps=(1,))

    def place(self, x):
        zeros = ops.full_like(x, value=0.0)
        if not x.shape:
            return zeros
        part = ops.slice(x, constant(0, int64), dims=(0,), sizes=((x.shape[0] + 1) // 2,), steps=(1,))
        return ops.update_slice(zeros, part, scalar(x.shape[0] // 2, int64), dims=(0,), steps=(1,))

    def scan(self, x):
        return ops.cumsum(x, dim=self.draw(st.integers(0, len(x.shape) - 1))) if x.shape else ops.neg(x)

    def cast(self, x):
        through = self.draw(st.sampled_from((float16, bfloat16, float64, int32, bool_)))
        limited = ops.minimum(ops.maximum(x, -100.0), 100.0) if through is int32 else x
        return ops.cast(ops.cast(limited, dtype=through), dtype=float32)

    def window(self, x):
        if not x.shape or x.shape[0] < 3:
            return ops.abs(x)
        return ops.amax(ops.window(x, dims=(0,), sizes=(3,), steps=(1,), dilations=(1,)), dims=(len(x.shape),),
                        keepdim=False)

    def is_smooth(self):
        """Whether rounding differences stay small: no value was cut to an integer or to fewer bits."""
        return not any(v.op is ops.cast for v in self.values)

    def roots(self):
        small = [v for v in self.values if np.prod(v.shape) < 20_000]
        chosen = self.draw(st.lists(st.sampled_from(small), min_size=1, max_size=4))
        return [*chosen, small[-1]]


def in_two_flushes(roots, middle, leaves):
    """The roots, after another value was evaluated first and became a leaf."""
    (value,) = compiled([middle])
    from squall.ir.graph import rebuild
    from squall.ir.node import toposort

    replaced = {id(middle): leaves(value)} | {id(n): n for n in leaves.nodes}
    made = rebuild(toposort(roots, lambda n: id(n) in replaced), replaced)
    return [made[id(r)] for r in roots]


@pytest.fixture(autouse=True)
def threads():
    before = native().state()["threads"]
    yield
    native().set_threads(before)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_values_and_bits_of_random_graphs(data):
    leaves = Leaf()
    program = Program(data.draw, leaves)
    roots = program.roots()
    native().set_threads(1)
    got = compiled(roots)
    with np.errstate(all="ignore"):
        for x, y in zip(got, expected(roots, leaves), strict=True):
            if program.is_smooth():
                np.testing.assert_allclose(x, y, rtol=2e-3, atol=1e-3)
    assert same_bits(got, compiled(roots, fuse=False)), "unfused"
    if sum(int(np.prod(v.shape)) for v in program.values) < 600:
        assert same_bits(got, compiled(roots, backend="python")), "python backend"
    native().set_threads(3)
    assert same_bits(got, compiled(roots)), "three threads"
    middle = data.draw(st.sampled_from(program.values))
    assert same_bits(got, compiled(in_two_flushes(roots, middle, leaves))), "two flushes"
    donated = data.draw(st.lists(st.sampled_from(leaves.nodes), max_size=3))
    assert same_bits(got, Built(roots, donatable=donated).run()), "inputs overwritten"
