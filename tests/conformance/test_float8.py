"""float8 conversions give PyTorch's bits, and what PyTorch's float8 tensors can do squall's can."""

import numpy
import pytest
import torch

import squall as sq

pytestmark = [pytest.mark.peer, pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])]


def both(name):
    return getattr(sq, name), getattr(torch, name)


def inputs():
    """Every float16, and float32 of random bits beside float32 of ordinary size."""
    chance = numpy.random.default_rng(0)
    bits = chance.integers(0, 2**32, 200_000, dtype=numpy.uint32).view(numpy.float32)
    usual = (chance.normal(size=200_000) * 2.0 ** chance.integers(-20, 18, 200_000)).astype(numpy.float32)
    return {"float16": numpy.arange(65536, dtype=numpy.uint16).view(numpy.float16),
            "float32": numpy.concatenate([bits, usual]), "float64": usual.astype("f8") * (1 + 1e-9),
            "int32": chance.integers(-(2**31), 2**31 - 1, 1000, dtype="i4"), "int64": numpy.arange(-600, 600)}


def test_to_float8(name):
    ours, theirs = both(name)
    for dtype, values in inputs().items():
        wanted = torch.from_numpy(values).to(theirs).view(torch.uint8).numpy()
        assert numpy.array_equal(sq.tensor(values).to(ours).view(sq.uint8).numpy(), wanted), dtype
        if dtype == "float32":
            numbers = values[~numpy.isnan(values)]
            wanted = torch.from_numpy(numbers).bfloat16().to(theirs).view(torch.uint8).numpy()
            assert numpy.array_equal(sq.tensor(numbers).bfloat16().to(ours).view(sq.uint8).numpy(), wanted)


def test_from_float8(name):
    ours, theirs = both(name)
    codes = numpy.arange(256, dtype=numpy.uint8)
    x, t = sq.tensor(codes).view(ours), torch.from_numpy(codes).view(theirs)
    for dtype in ("float32", "float16", "bfloat16", "float64", "bool"):
        wanted = t.to(getattr(torch, dtype)).double().numpy()
        numpy.testing.assert_array_equal(x.to(getattr(sq, dtype)).double().numpy(), wanted)
    finite = torch.isfinite(t.float())
    numpy.testing.assert_array_equal(x[sq.tensor(finite.numpy())].int().numpy(), t[finite].int().numpy())
    text = repr(t[8:16]).replace("torch.", "squall.")
    assert repr(x[8:16]) == text


@pytest.mark.parametrize("compute", [
    lambda t, x: x + x, lambda t, x: x + 1, lambda t, x: -x, lambda t, x: x < x, lambda t, x: x.sum(),
    lambda t, x: x + x.float(), lambda t, x: t.cat([x, x.float()]), lambda t, x: x.cumsum(0), lambda t, x: x.cos(),
    lambda t, x: x.max(), lambda t, x: x.sort(), lambda t, x: x.relu(), lambda t, x: x.sign(), lambda t, x: x[0].sum(),
    lambda t, x: x[0].max(), lambda t, x: x[0].median(), lambda t, x: x[0].mean(), lambda t, x: x.signbit(),
    lambda t, x: x.logical_and(x),
    lambda t, x: t.isposinf(x), lambda t, x: t.unique(x), lambda t, x: t.count_nonzero(x),
    lambda t, x: x.exponential_(),
    lambda t, x: t.bernoulli(x), lambda t, x: t.special.zeta(x, x), lambda t, x: t.special.ndtri(x),
    lambda t, x: x.reshape(1, 3).renorm(2, 0, 1.0), lambda t, x: t.linalg.matrix_exp(x[None, :1]),
    lambda t, x: x.logsumexp(0), lambda t, x: x.topk(2), lambda t, x: x.argmax(), lambda t, x: x.clamp(0, 1),
    lambda t, x: t.randint_like(x, 3), lambda t, x: t.linalg.inv(x[None, :1]),
])
def test_both_refuse(name, compute):
    for module in (sq, torch):
        with pytest.raises(RuntimeError):  # PyTorch's NotImplementedError is one too
            compute(module, module.ones(3).to(getattr(module, name)))


@pytest.mark.parametrize("compute", [
    lambda t, x: x == x, lambda t, x: x != 1.5, lambda t, x: t.cat([x, x]), lambda t, x: t.stack([x, x]),
    lambda t, x: t.where(x == x, x, 1.0), lambda t, x: x[t.tensor([1, 0])], lambda t, x: x[x == x],
    lambda t, x: x.isnan(), lambda t, x: x.roll(1), lambda t, x: x.abs(), lambda t, x: x.clone().fill_(1.3),
    lambda t, x: t.full((3,), 1.3, dtype=x.dtype), lambda t, x: t.nn.functional.pad(x, (1, 1), value=0.3),
    lambda t, x: x.repeat(2), lambda t, x: x.any(), lambda t, x: x.bool(), lambda t, x: x.unfold(0, 2, 1),
    lambda t, x: x.expand(2, 3), lambda t, x: t.block_diag(x, x), lambda t, x: x.masked_select(x == x),
])
def test_both_move(name, compute):
    got, wanted = (compute(module, module.tensor([1.5, -2.0, 0.3]).to(getattr(module, name))) for module in (sq, torch))
    assert str(got.dtype).partition(".")[2] == str(wanted.dtype).partition(".")[2]
    assert got.tolist() == wanted.tolist()


@pytest.mark.parametrize("compute", [
    lambda t, x: x.flip(0), lambda t, x: x.take(t.tensor([2, 0])), lambda t, x: x.gather(0, t.tensor([1, 1])),
    lambda t, x: x[None].tril(), lambda t, x: x.masked_fill(x == x, 1.0),
    lambda t, x: x.index_fill(0, t.tensor([1]), 2.0),
    lambda t, x: x.nonzero(), lambda t, x: t.rot90(x[None]), lambda t, x: x.scatter(0, t.tensor([1]), x[:1]),
    lambda t, x: t.nn.functional.pad(x[None], (1, 1), mode="replicate"),
])
def test_only_squall_moves(name, compute):
    """What places elements without computing is offered for stored values, for which PyTorch has no such kernels."""
    x, t = (module.tensor([1.5, -2.0, 0.5]).to(getattr(module, name)) for module in (sq, torch))
    with pytest.raises(NotImplementedError):
        compute(torch, t)
    assert compute(sq, x).float().tolist() == compute(torch, t.float()).tolist()


@pytest.mark.parametrize("compute", [lambda t, x: x * x, lambda t, x: x[None] @ x[:, None]])
def test_only_pytorch_multiplies(name, compute):
    """PyTorch rounds each product to 8 bits; here the cast that says so is written."""
    x, t = (module.tensor([1.5, -2.0, 0.5]).to(getattr(module, name)) for module in (sq, torch))
    with pytest.raises(NotImplementedError, match=r"cast them with .to.squall.float32"):
        compute(sq, x)
    assert compute(sq, x.float()).to(x.dtype).float().tolist() == compute(torch, t).float().tolist()


def test_kinds_of_numbers(name):
    """PyTorch tells infinities of e5m2, and has no kernel for e4m3fn, which has none."""
    x, t = (module.tensor([1.5, float("inf"), float("nan")]).to(getattr(module, name)) for module in (sq, torch))
    wide = t.float() if name == "float8_e4m3fn" else t
    assert x.isfinite().tolist() == wide.isfinite().tolist() and x.isinf().tolist() == wide.isinf().tolist()
