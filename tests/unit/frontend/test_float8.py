"""float8_e4m3fn and float8_e5m2: what is stored, moved and converted, against ml_dtypes; what is refused."""

from __future__ import annotations

import pickle

import ml_dtypes
import numpy as np
import pytest

import squall as sq
from squall.base import config
from squall.base.errors import DtypeError
from squall.compiler.target import machine
from squall.ir.bits import decode, encode
from tests.ops.test_older_processors import OLDER

KINDS = {"float8_e4m3fn": ml_dtypes.float8_e4m3fn, "float8_e5m2": ml_dtypes.float8_e5m2}
FLOATS = ("float16", "bfloat16", "float32", "float64")
CODES = np.arange(256, dtype=np.uint8)
pytestmark = pytest.mark.parametrize("name", KINDS)


def every_code(name):
    return sq.tensor(CODES).view(getattr(sq, name))


def codes_of(tensor):
    return np.asarray(tensor.view(sq.uint8).numpy())


def expected(values, name):
    """The codes ml_dtypes gives of float32, with PyTorch's ends: beyond e4m3's largest number that number, and
    every NaN the last code, with its sign."""
    single = values.astype(np.float32)
    with np.errstate(all="ignore"):
        codes = (single if name == "float8_e5m2" else single.clip(-448, 448)).astype(KINDS[name]).view(np.uint8)
    return np.where(np.isnan(single), (codes & 0x80) | 0x7F, codes)


def float32_near_ties(name):
    """All codes, what lies between neighbours, a little above and below that, and far away, of both signs."""
    exact = CODES[:128].view(KINDS[name]).astype(np.float32)
    exact = exact[np.isfinite(exact)]
    middle = (exact[1:] + exact[:-1]) / 2
    close = [np.nextafter(middle, np.float32(v), dtype=np.float32) for v in (0, np.inf)]
    top = exact[-1] * np.float32([1 + 1 / 64, 1.03125, 1 + 1 / 28, 1.0625, 1 + 1 / 14, 1.125, 1.2, 2.0, 1e30])
    special = np.float32([0, 1e-45, 1e-38, 2**-24, 2**-17, 2**-18, 2**-10, np.inf, np.nan, 3e38])
    every = np.concatenate([exact, middle, *close, top, special])
    return np.concatenate([every, -every])


@pytest.mark.parametrize("backend", ["cpu", "python", *OLDER])
def test_conversions_are_exact(name, backend):
    """Every code to every float; every float16 and what is near a tie back; the same bits everywhere."""
    kind = getattr(sq, name)
    with config.options(**({"isa": backend} if backend in OLDER else {"backend": backend})):
        assert backend not in OLDER or machine().isa == backend
        for target in FLOATS:
            got = every_code(name).to(getattr(sq, target)).numpy()
            assert np.array_equal(got, CODES.view(KINDS[name]).astype(np.float32).astype(got.dtype), equal_nan=True)
        halves = np.arange(65536, dtype=np.uint16).view(np.float16)
        assert np.array_equal(codes_of(sq.tensor(halves).to(kind)), expected(halves, name))
        singles = float32_near_ties(name)
        assert np.array_equal(codes_of(sq.tensor(singles).to(kind)), expected(singles, name))
        doubles = singles.astype(np.float64) * (1 + 1e-12)  # by way of float32, as PyTorch
        assert np.array_equal(codes_of(sq.tensor(doubles).to(kind)), expected(doubles, name))
        brain = singles.astype(ml_dtypes.bfloat16)
        assert np.array_equal(codes_of(sq.tensor(singles).bfloat16().to(kind)), expected(brain, name))


def test_other_types(name):
    kind = getattr(sq, name)
    whole = sq.tensor([0, 1, -3, 17, 500, 100000, 2**40])
    assert np.array_equal(codes_of(whole.to(kind)), expected(whole.numpy(), name))
    x = sq.tensor([0.0, -0.0, 1.5, -2.0, float("nan")]).to(kind)
    assert x.bool().tolist() == [False, False, True, True, True]
    assert x[:4].int().tolist() == [0, 0, 1, -2]
    assert x[2].to(sq.complex64).item() == 1.5
    assert sq.tensor([1.5 + 2j]).to(kind).tolist() == [1.5]


def test_no_host_step(name):
    """A conversion is compiled code: no library step stands in the plan."""
    kind = getattr(sq, name)
    report = str(sq.explain(lambda x: x.to(kind).to(sq.float32) * 2, sq.ones(64)))
    assert "library" not in report and report.count("kernel") >= 1


def test_scalar_bits(name):
    """Constants are rounded by Python as conversions are by kernels."""
    short = getattr(sq, name).short
    for code in CODES.tolist():
        value = decode(code, short)
        assert encode(value, short) == code or value != value
        assert value == every_code(name)[code].item() or value != value
    values = float32_near_ties(name)
    assert [encode(float(v), short) & (0x7F if v != v else 0xFF) for v in values] == [
        int(c) & (0x7F if v != v else 0xFF) for v, c in zip(values, expected(values, name), strict=True)]


def test_moving(name):
    """Views, indexing, joining, writing and comparing are what they are for numbers."""
    kind = getattr(sq, name)
    plain = np.float32([[1.5, -2, 0.5], [4, 0.25, -8]])
    x = sq.tensor(plain).to(kind)
    rows = sq.tensor([1, 0, 1])
    for make in (
        lambda t: t.t(), lambda t: t[:, 1:], lambda t: t[rows], lambda t: sq.cat([t, t.flip(1)]),
        lambda t: sq.stack([t[0], t[1]], 1), lambda t: t.index_select(0, rows), lambda t: t.roll(1, 1),
        lambda t: t.repeat(2, 2), lambda t: sq.nn.functional.pad(t, (1, 2), value=3.0), lambda t: t[t == t],
        lambda t: sq.where(t == 1.5, t, 2.0), lambda t: t.masked_fill(t != 4, 1.3).to(sq.float32).to(kind),
        lambda t: t.unfold(1, 2, 1), lambda t: t.diagonal(), lambda t: t.expand(3, 2, 3), lambda t: t.abs(),
        lambda t: sq.nn.functional.embedding(rows, t), lambda t: t.clone().copy_(sq.full((2, 3), 2.0)),
        lambda t: t.gather(1, sq.tensor([[0, 2], [1, 1]])), lambda t: t.clone().fill_(2.5),
    ):
        wide = make(sq.tensor(plain))
        assert make(x).dtype is kind
        assert make(x).float().tolist() == wide.to(kind).float().tolist()
    y = x.clone()
    y[0] = 3.0
    y[:, 2] = x[:, 0]
    assert y.tolist() == [[3.0, 3.0, 1.5], [4.0, 0.25, 4.0]]
    assert x.tolist() == plain.tolist() and not sq.equal(x, y) and sq.equal(x, x.clone())
    assert (x == x.t().t()).all() and x.isfinite().all() and not x.isnan().any()
    assert x.view(sq.uint8).view(kind).tolist() == plain.tolist()


def test_making_and_printing(name):
    kind = getattr(sq, name)
    for made, values in (
        (sq.zeros(2, dtype=kind), [0, 0]), (sq.ones(2, dtype=kind), [1, 1]),
        (sq.full((2,), 1.3, dtype=kind), [1.25] * 2), (sq.tensor([1.0, 2.6], dtype=kind), [1, 2.5]),
        (sq.eye(2, dtype=kind)[0], [1, 0]),
    ):
        assert made.dtype is kind and made.tolist() == values
    beyond = 448 if name == "float8_e4m3fn" else float("inf")
    assert sq.tensor([1e9, -1e9], dtype=kind).tolist() == [beyond, -beyond]
    x = sq.tensor([1.5, -2.0]).to(kind)
    assert repr(x) == f"tensor([ 1.5000, -2.0000], dtype=squall.{name})"
    assert x.element_size() == 1 and x.is_floating_point() and x[1].item() == -2.0 and float(x[0]) == 1.5
    assert sq.finfo(kind).max == float(ml_dtypes.finfo(KINDS[name]).max)


def test_arrays_and_files(name, tmp_path):
    kind = getattr(sq, name)
    array = np.float32([1, 2, -0.5]).astype(KINDS[name])
    shared = sq.from_numpy(array)
    assert shared.dtype is kind and shared.float().tolist() == [1, 2, -0.5]
    shared[1] = 4.0
    assert array[1] == 4 and shared.numpy().dtype == KINDS[name]
    x = sq.tensor([[1.5, -2.0]]).to(kind)
    assert sq.equal(pickle.loads(pickle.dumps(x)), x)
    assert sq.from_dlpack(x).tolist() == x.tolist()
    sq.io.save_safetensors({"x": x}, tmp_path / "x.safetensors")
    back = sq.io.load_safetensors(tmp_path / "x.safetensors")["x"]
    assert back.dtype is kind and sq.equal(back, x)
    sq.save({"x": x}, tmp_path / "x.pt")
    assert sq.equal(sq.load(tmp_path / "x.pt")["x"], x)


def test_through_programs(name):
    """Gradients pass conversions; vmap, compile and loops carry the values."""
    kind = getattr(sq, name)
    x = sq.tensor([1.1, -2.3], requires_grad=True)
    (x.to(kind).float() * sq.tensor([2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [2, 3]
    values = sq.tensor([[1.1, 2.2], [3.3, 4.4]])
    want = values.to(kind).float().tolist()
    assert sq.vmap(lambda row: row.to(kind))(values).float().tolist() == want
    assert sq.compile(lambda t: t.to(kind))(values).float().tolist() == want
    last, every = sq.scan(lambda carry, row: (row.to(kind), carry), sq.zeros(2, dtype=kind), values)
    assert last.float().tolist() == want[1] and every.float().tolist() == [[0, 0], want[0]]
    chosen = sq.cond(sq.tensor(True), lambda t: t.flip(0), lambda t: t, last)
    assert chosen.float().tolist() == want[1][::-1]


@pytest.mark.parametrize("compute", [
    lambda x: x + x, lambda x: 2 * x, lambda x: -x, lambda x: x.sum(), lambda x: x @ x, lambda x: x.relu(),
    lambda x: x < x, lambda x: x.sort(), lambda x: x.clone().add_(1.0), lambda x: x.cumsum(0), lambda x: x.softmax(0),
    lambda x: x.index_put((sq.tensor([0]),), x[:1], accumulate=True),
    lambda x: x.signbit(), lambda x: sq.isposinf(x), lambda x: sq.isneginf(x), lambda x: x.logical_and(x),
    lambda x: x.logical_or(True), lambda x: sq.unique(x), lambda x: sq.unique_consecutive(x), lambda x: x.median(),
    lambda x: sq.count_nonzero(x), lambda x: x.reshape(1, 3).renorm(2, 0, 1.0), lambda x: sq.bernoulli(x),
    lambda x: sq.special.zeta(x, x), lambda x: sq.special.ndtri(x), lambda x: sq.special.chebyshev_polynomial_t(x, 2),
    lambda x: x.exponential_(), lambda x: sq.hash_tensor(x), lambda x: x.norm(),
    lambda x: sq.linalg.matrix_exp(x[None, :1]), lambda x: sq.nansum(x), lambda x: x.logsumexp(0),
])
def test_arithmetic_is_refused(name, compute):
    x = sq.ones(3, dtype=getattr(sq, name))
    words = r"not implemented for squall\.float8.*to.squall\.float32|cast it first"
    with pytest.raises(NotImplementedError, match=words):
        compute(x)


@pytest.mark.parametrize("reduction", ["sum", "mean", "max", "min", "amax", "amin", "median", "norm", "nansum", "std"])
def test_reductions_of_one_number_are_refused(name, reduction):
    """Though nothing would have to be computed."""
    x = sq.ones((), dtype=getattr(sq, name))
    with pytest.raises(NotImplementedError, match=r"not implemented for squall\.float8.*to.squall\.float32"):
        getattr(x, reduction)()
    assert x.any() and x.all()


def test_promotion_is_refused(name):
    x = sq.ones(3, dtype=getattr(sq, name))
    for other in (sq.ones(3), sq.ones(3).half(), sq.tensor([1, 2, 3])):
        with pytest.raises(DtypeError, match="no common dtype, since float8 only stores"):
            x + other
    with pytest.raises(DtypeError, match="no common dtype"):
        sq.cat([x, sq.ones(3)])
    with pytest.raises(TypeError, match="set_default_dtype"):
        sq.set_default_dtype(x.dtype)
