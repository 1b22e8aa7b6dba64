"""Attention on matrix tiles: as accurate as float32 multiply-adds, right for numbers without parts, settled bits."""

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall.backends import ssa_text
from squall.backends.cpu.build import compile_functions
from squall.backends.cpu.table import table_for
from squall.backends.cpu.target import host_target
from squall.backends.python import Executor
from squall.base import config
from squall.compiler.attend import pieces
from squall.compiler.expand import expand
from squall.ir.linear import I64, PTR, Builder, Program
from squall.ir.op import ops
from squall.runtime import matrix_tiles
from tests.unit.compiler.nest_support import KERNEL
from tests.unit.engine.harness import Leaf, compiled, same_bits

pytestmark = pytest.mark.skipif(not matrix_tiles.granted(), reason="this processor has no matrix tiles")


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("f4")


def plain(q, k, v, causal=False, scale=0.25):
    """The result in float64."""
    with np.errstate(invalid="ignore", over="ignore"):
        scores = q.astype("f8") @ k.astype("f8").swapaxes(-1, -2) * scale
        if causal:
            scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        return shares / shares.sum(-1, keepdims=True) @ v.astype("f8")


def attention(*values, isa="", **named):
    """The result and the logarithms of sums, by tiles or by an instruction set."""
    leaves = Leaf()
    options = {"isa": isa} if isa else {}
    return compiled(ops.attention(*map(leaves, values), **{"causal": False, "scale": 0.25, **named}), **options)


def error(found, wanted):
    return np.sqrt(np.mean((found - wanted) ** 2))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys", "features", "width"), [
    (17, 33, 8, 40), (64, 64, 64, 64), (65, 63, 33, 17), (600, 130, 64, 64), (130, 600, 100, 30)])
def test_results_are_no_less_accurate_than_those_of_multiply_adds(queries, keys, features, width, causal):
    given = normal(0, 3, queries, features), normal(1, 3, keys, features), abs(normal(2, 3, keys, width))
    by_tiles, by_vectors = attention(*given, causal=causal), attention(*given, isa="avx512", causal=causal)
    wanted = plain(*given, causal)
    assert error(by_tiles[0], wanted) < 1.1 * error(by_vectors[0], wanted) < 3e-7
    assert by_tiles[0].tobytes() != by_vectors[0].tobytes()  # they are tiles
    np.testing.assert_allclose(by_tiles[1], by_vectors[1], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3.3961e38])
@pytest.mark.parametrize("where", ["q", "k", "v"])
def test_what_has_no_parts_is_multiplied_by_vectors(where, value):
    given = {"q": normal(0, 1, 300, 16), "k": normal(1, 1, 200, 16), "v": normal(2, 1, 200, 16)}
    given[where][0, 70, 3] = value
    out, sums = attention(*given.values())
    wanted, wanted_sums = attention(*given.values(), isa="avx512")
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sums, wanted_sums, rtol=1e-5, atol=1e-6)
    assert np.isfinite(out).any() or where == "k"


def test_tiny_numbers_lose_no_more_than_subnormal_ones():
    given = normal(0, 1, 100, 16), normal(1, 1, 90, 16), normal(2, 1, 90, 16) * np.float32(1e-34)
    out, _ = attention(*given)
    np.testing.assert_allclose(out, plain(*given), rtol=0, atol=4 * 2.0**-126)


def test_scores_far_below_the_maximum_and_far_above_the_first():
    """The maximum rises from block to block, by more than powers of two hold, and falls again."""
    k = normal(1, 1, 320, 16)
    k[0] *= (1 + 40 * np.array([0, 1, 3, 9, 2]).repeat(64))[:, None]
    given = abs(normal(0, 1, 100, 16)), k, normal(2, 1, 320, 16)
    np.testing.assert_allclose(attention(*given)[0], plain(*given), rtol=1e-4, atol=1e-4)


def test_any_strides():
    q, k, v = (normal(i, 2, 150, 4, 64) for i in range(3))
    by_heads = [x.transpose(0, 2, 1, 3) for x in (q, k, v)]
    turned = [np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2) for x in by_heads]
    dense = [np.ascontiguousarray(x) for x in by_heads]
    wanted = attention(*dense)
    assert same_bits(wanted, attention(*by_heads))
    assert same_bits(wanted, attention(*turned))


def test_bits_do_not_depend_on_threads_or_leading_indices():
    """Units are more blocks of queries where there are more leading indices."""
    given = [normal(i, 40, 300, 32) for i in range(3)]
    wanted = attention(*given)
    before = sq.get_num_threads()
    try:
        sq.set_num_threads(3)
        assert same_bits(wanted, attention(*given))
    finally:
        sq.set_num_threads(before)
    assert same_bits([x[7:8] for x in wanted], attention(*(x[7:8] for x in given)))


def test_one_compiled_length_serves_all():
    """Sizes are symbols: units are eight blocks of queries, whatever the number of queries."""
    compiled_function = sq.compile(F.scaled_dot_product_attention, dynamic=True)
    for length in (40, 200, 700):
        given = [sq.tensor(normal(i, 2, length, 64)) for i in range(3)]
        assert (compiled_function(*given) == F.scaled_dot_product_attention(*given)).all()


def test_the_instruction_set_that_is_asked_for_decides():
    with config.options(isa="avx512"):
        by_name = F.scaled_dot_product_attention(*(sq.tensor(normal(i, 1, 70, 16)) for i in range(3))).numpy()
    given = [normal(i, 1, 70, 16) for i in range(3)]
    assert by_name.tobytes() == attention(*given, isa="avx512")[0].tobytes()


@pytest.fixture(scope="module")
def product():
    """A program that puts rows of A and columns of B in parts and multiplies them: 32 x 32, 64 summed."""
    b = Builder.kernel("entry")
    b.emit("tile", None, (), ("begin",))
    a, other, parts_a, parts_b, c, tops = (b.argument(i, PTR) for i in range(6))
    two, side = b.int(2), b.int(32)
    b.store(b.call("split_lines", (a, b.int(64), side, two, parts_a), I64), tops)
    b.store(b.call("split_pairs", (other, b.int(64), two, side, parts_b), I64), b.gep(tops, b.int(1), "i64"))
    b.call("tile_product", (parts_a, parts_b, two, c, side, side))
    b.emit("tile", None, (), ("end",))
    functions = [pieces.split_lines(), pieces.split_pairs(), *pieces.products(False), b.finish()]
    return expand(Program(tuple(functions), "entry"))


def multiplied(run, a, b):
    """Parts of A, of B, their product, and the largest sizes."""
    made = [np.zeros(n, "u4") for n in (2 * 2 * 768, 2 * 2 * 768)] + [np.zeros((32, 64), "f4"), np.zeros(2, "i8")]
    held, places = [a, b, *made], []
    for i, x in enumerate(held):  # on cache lines
        space = np.zeros(x.nbytes + 64, "u1")
        start = -space.ctypes.data % 64
        held[i] = space[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
        held[i][...] = x
        places.append(held[i].ctypes.data)
    run(np.array(places, "i8").ctypes.data, 0, 1, 0)
    return held[2:]


def numbers(seed, *shape):
    """Numbers of all sizes that matter, zeros among them."""
    draw = np.random.default_rng(seed)
    return (draw.normal(size=shape) * 2.0 ** draw.integers(-30, 30, shape) * (draw.random(shape) > 0.1)).astype("f4")


def test_the_python_backend_gives_the_same_bits(product):
    target = host_target()
    text = ssa_text.write(product, table_for(target.architecture, target.features))
    native = KERNEL(compile_functions({("parts", text): (text, ["entry"])})[("parts", text)]["entry"])
    a, b = numbers(0, 32, 64), numbers(1, 64, 64)
    by_machine, by_python = multiplied(native, a, b), multiplied(Executor(product), a, b)
    assert all(x.tobytes() == y.tobytes() for x, y in zip(by_machine, by_python, strict=True))
    wanted, sizes = a.astype("f8") @ b[:, :32], abs(a).astype("f8") @ abs(b[:, :32])
    assert (abs(by_machine[2][:, :32] - wanted) / sizes).max() <= 2.0**-21
    assert by_machine[3].tolist() == [int(abs(x).max().view("u4")) for x in (a, b[:, :32])]


def test_three_parts_are_the_number(product):
    a, b = numbers(2, 32, 64), numbers(3, 64, 64)
    parts = multiplied(Executor(product), a, b)[0].reshape(2, 2, 3, 16, 16)  # rows' group, step, part, row, word
    low, high = ((parts << 16).view("f4"), (parts & 0xFFFF0000).view("f4"))
    whole = np.stack([low, high], -2).astype("f8").sum(2)  # group, step, row, half, word
    np.testing.assert_array_equal(whole.transpose(0, 2, 1, 3, 4).reshape(32, 64), a)


