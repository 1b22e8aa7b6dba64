"""ndarrays: NumPy's methods, operators and indexing on a Tensor's memory and history, inside transforms too."""

import numpy
import pytest

import squall as sq
import squall.numpy as snp
from tests.unit.numpy.comparing import agree, program

DATA = numpy.arange(24.0).reshape(2, 3, 4)
INDICES = [
    0,
    -1,
    slice(None, None, -1),
    (slice(None), 1),
    (0, slice(2, 0, -1)),
    (Ellipsis, 0),
    (None, 1),
    ([1, 0],),
    ([0, 1], slice(None), [0, 3]),
    (0, slice(None), [1, 2]),
    numpy.array([1, 1, 0]),
    (slice(5, 2, -1),),
    (slice(None), DATA[0, :, 0] > 3),
    DATA > 7,
    (True,),
    (Ellipsis, slice(None, None, -2)),
    (slice(None), numpy.array([[0], [1]]), numpy.array([3, 2])),
    (slice(None, None, -1), [2, 0]),
    numpy.zeros(0, bool),  # a size of 0 in a mask stands beside any other
    numpy.zeros((2, 0), bool),
    (slice(None), numpy.zeros((0, 4), bool)),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_reading_by_index(index):
    agree(snp.asarray(DATA.copy())[index], DATA[index])


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_writing_by_index(index):
    ours, theirs = snp.array(DATA), DATA.copy()
    value = numpy.arange(theirs[index].size, dtype=float).reshape(theirs[index].shape)
    ours[index], theirs[index] = value, value
    agree(ours, theirs)


@pytest.mark.parametrize(
    "index, error", [(9, IndexError), ((0, 0, 0, 0), IndexError), (1.5, IndexError), ([9], IndexError)]
)
def test_indices_that_do_not_fit(index, error):
    with pytest.raises(error):
        snp.asarray(DATA.copy())[index].tolist()


@pytest.mark.parametrize(
    "name", ["sum", "prod", "max", "min", "mean", "var", "std", "any", "all", "argmax", "argmin"]
)
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_reductions(name, axis):
    x = DATA % 5
    agree(getattr(snp.array(x), name)(axis=axis), getattr(x, name)(axis=axis))
    agree(
        getattr(snp, name)(x.astype("i4"), axis=axis, keepdims=True),
        getattr(numpy, name)(x.astype("i4"), axis=axis, keepdims=True),
    )


def test_views_share_memory_and_copies_do_not():
    x = snp.zeros((2, 3))
    x.T[0] = 5
    x.reshape(-1)[1] = 7
    x[1][2] = 1
    assert x.tolist() == [[5, 7, 0], [5, 0, 1]]
    y = x.copy()
    y[...] = 0
    assert x.tolist()[0] == [5, 7, 0]


def test_tensors_are_seen_not_copied():
    t = sq.zeros(3)
    snp.asarray(t)[0] = 2
    assert t.tolist() == [2, 0, 0]
    assert snp.asarray(t).tensor is t


def test_in_place_operators_keep_the_dtype():
    x = snp.ones(2, dtype="f4")
    x += snp.asarray(2.0)
    assert x.dtype is sq.float32 and x.tolist() == [3, 3]
    with pytest.raises(TypeError, match="same_kind"):
        x += 1j


def test_the_array_object():
    x = snp.array(DATA)
    assert (x.size, x.ndim, x.shape, x.device, x.nbytes) == (24, 3, (2, 3, 4), "cpu", 192)
    assert x.T.shape == (4, 3, 2) and x.mT.shape == (2, 4, 3)
    assert x.dtype == numpy.float64 and numpy.zeros(1, x.dtype).dtype == "f8"
    assert repr(snp.arange(3)) == "array([0, 1, 2])"
    assert int(snp.asarray(3)) == 3 and float(snp.asarray([2])) == 2.0 and complex(snp.asarray(1j)) == 1j
    with pytest.raises(ValueError, match="ambiguous"):
        bool(x)


def test_numpys_own_functions_of_ndarrays():
    x = snp.arange(3.0)
    assert isinstance(numpy.add(x, 1), snp.ndarray)
    assert (numpy.float64(2) * x).tolist() == [0, 2, 4]
    assert numpy.sum(numpy.asarray(x)) == 3


def test_gradients_flow_through_numpys_names():
    t = sq.tensor([1.0, 2.0, 3.0], requires_grad=True)
    snp.sum(snp.asarray(t)[::-1] ** 2 * snp.arange(3.0)).tensor.backward()
    assert t.grad.tolist() == [4.0, 4.0, 0.0]


def test_compiled_functions_of_ndarrays_keep_numpys_rules():
    x = numpy.arange(6).reshape(2, 3)
    agree(sq.compile(program)(snp.array(x)), program(snp.array(x)).numpy())


def test_grad_of_a_function_of_ndarrays():
    found = sq.func.grad(lambda x: snp.sum(snp.sin(x)))(snp.arange(3.0))
    agree(snp.asarray(found), numpy.cos(numpy.arange(3.0)))


def test_dlpack_both_ways():
    x = numpy.arange(3.0)
    y = snp.from_dlpack(x)
    y[0] = 9
    assert x[0] == 9
    assert numpy.from_dlpack(snp.arange(2.0)).tolist() == [0, 1]
    assert snp.from_dlpack(snp.asarray([1j, 2])).tolist() == [1j, 2]


def test_flags():
    x = snp.ones((2, 3))
    assert x.flags.c_contiguous and not x.flags["F"] and x.flags.owndata
    assert x.T.flags.f_contiguous and not x.T.flags["C_CONTIGUOUS"] and not x.T.flags.owndata
    assert "WRITEABLE : True" in repr(x.flags)
    with pytest.raises(KeyError):
        x.flags["surprise"]


def test_booleans_as_bytes():
    x = snp.arange(20.0) > 3
    assert x.view("uint8").tolist() == [0] * 4 + [1] * 16
    assert (snp.arange(4) % 2).astype("uint8").view(bool).tolist() == [False, True, False, True]
