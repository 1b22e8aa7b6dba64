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
    lambda t, x: x.max(), lambda t, x: x.sort(), lambda t, x: x.relu(), lambda t, x: x.sign(),
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
