"""Functions of several steps that compute 16-bit floats in float32, and others that OpInfo's rarer dtypes asked for."""

import numpy
import pytest

import squall as sq
from squall.nn import functional as F

CHANCE = numpy.random.default_rng(3)


def values(*shape):
    return sq.tensor(CHANCE.normal(size=shape).astype(numpy.float32))


CALLS = {
    "sinc": (sq.sinc, [values(50)]),
    "addcmul": (lambda a, b, c: sq.addcmul(a, b, c, value=0.7), [values(40), values(40), values(40)]),
    "addcdiv": (lambda a, b, c: sq.addcdiv(a, b, c, value=3.14), [values(40), values(40), values(40).abs() + 0.5]),
    "cosine": (F.cosine_similarity, [values(6, 9), values(6, 9)]),
    "bilinear": (F.bilinear, [values(5, 8), values(5, 8), values(4, 8, 8), values(4)]),
    "grid": (lambda x, g: F.grid_sample(x, g, align_corners=True), [values(1, 2, 5, 6), values(1, 3, 4, 2) / 3]),
    "instance": (F.instance_norm, [values(3, 2, 9)]),
}


@pytest.mark.parametrize("dtype", [sq.bfloat16, sq.float16])
@pytest.mark.parametrize("name", CALLS)
def test_results_are_rounded_once(name, dtype):
    function, given = CALLS[name]
    narrow = [x.to(dtype) for x in given]
    found = function(*narrow)
    assert found.dtype is dtype
    assert found.equal(function(*[x.float() for x in narrow]).to(dtype))


def test_gradients_keep_the_dtype():
    x = values(7).half().requires_grad_()
    sq.sinc(x).sum().backward()
    assert x.grad.dtype is sq.float16 and x.grad.isfinite().all()


def test_polygamma_between_poles():
    """At -8.5 the reflection's cotangent vanishes: 2e-4 of it had been left."""
    for n, x, wanted in ((4, -8.5, -0.0009052254230855), (2, -2.5, -0.1082040516417235), (4, -7.5, -0.001446124964977)):
        assert sq.polygamma(n, sq.tensor(x)).item() == pytest.approx(wanted, rel=2e-6)
        assert sq.polygamma(n, sq.tensor(x, dtype=sq.float64)).item() == pytest.approx(wanted, rel=1e-11)


def test_whole_numbers_in_losses_and_norms():
    x, target = sq.tensor([1, 2, 0]), sq.tensor([1, 0, 3])
    assert F.poisson_nll_loss(x, target).item() == pytest.approx(F.poisson_nll_loss(x.float(), target.float()).item())
    x = sq.arange(12).reshape(1, 4, 3)
    squares = numpy.pad(numpy.arange(12).reshape(1, 4, 3) ** 2, ((0, 0), (1, 0), (0, 0)))
    mean = (squares[:, :-1] + squares[:, 1:]) // 2
    wanted = numpy.arange(12).reshape(1, 4, 3) / (mean * 0.1 + 1.0) ** 0.75
    numpy.testing.assert_allclose(F.local_response_norm(x, 2, 0.1).numpy(), wanted, rtol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_running_sums_of_complex_exponentials(n):
    z = sq.complex(values(3, n) * 40, values(3, n))
    found, wide = sq.logcumsumexp(z, 1).numpy().astype(complex), z.numpy().astype(complex)
    top = wide.real.max()
    numpy.testing.assert_allclose(numpy.exp(found - top), numpy.cumsum(numpy.exp(wide - top), 1), rtol=1e-4, atol=1e-6)
    parts = [values(2, n).double().requires_grad_() for _ in range(2)]
    assert sq.autograd.gradcheck(lambda a, b: sq.view_as_real(sq.logcumsumexp(sq.complex(a, b), 1)), parts)


def test_masked_logsumexp_of_complex_numbers():
    z, mask = sq.complex(values(4), values(4)), sq.tensor([True, False, True, True])
    wanted = sq.logsumexp(z[mask], 0)
    assert sq.allclose(sq.masked.logsumexp(z, 0, mask=mask), wanted)


def test_weights_decide_the_dtype_of_covariances():
    x, weights = values(2, 5).half(), sq.tensor([1.0, 2.0, 1.0, 1.0, 3.0])
    assert sq.cov(x, aweights=weights).dtype is sq.float32 and sq.cov(x).dtype is sq.float16
    assert sq.cov(x, fweights=weights.int()).dtype is sq.float16
    numpy.testing.assert_allclose(sq.cov(x, aweights=weights).numpy(),
                                  numpy.cov(x.double().numpy(), aweights=weights.numpy()), rtol=1e-4)


def test_statistics_of_a_native_batch_norm():
    x = values(4, 3, 2).half()
    for weight, dtype in ((None, sq.float16), (sq.ones(3).half(), sq.float16), (sq.ones(3), sq.float32)):
        out, mean, scale = sq.native_batch_norm(x, weight, weight, None, None, True, 0.1, 1e-5)
        assert (out.dtype, mean.dtype, scale.dtype) == (sq.float16, dtype, dtype)
