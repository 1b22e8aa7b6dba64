"""What the tests of squall.numpy compare with: NumPy's result, dtype and shape included."""

import numpy

import squall.numpy as snp


def agree(got, wanted, rtol=1e-6):
    if isinstance(wanted, tuple):
        assert len(got) == len(wanted)
        for g, w in zip(got, wanted, strict=True):
            agree(g, w, rtol)
        return
    assert isinstance(got, snp.ndarray)
    wanted = numpy.asarray(wanted)
    assert got.dtype == wanted.dtype, (got.dtype, wanted.dtype)
    assert got.shape == wanted.shape
    wide = 3e-3 if wanted.dtype.itemsize == 2 else rtol
    numpy.testing.assert_allclose(numpy.asarray(got), wanted, rtol=wide, atol=wide)


def program(x):
    """A function of an ndarray for transforms; what it reaches from here is what a capture looks at."""
    assert isinstance(x, snp.ndarray)
    return snp.max(x[:, ::-1] / 2, axis=1) + x.size
