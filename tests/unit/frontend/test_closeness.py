"""squall.testing: assert_close says what differs, make_tensor keeps to its ranges."""

import numpy as np
import pytest

import squall as sq
from squall.testing import assert_close, make_tensor

NAN = float("nan")


@pytest.mark.parametrize(
    ("actual", "expected", "options"),
    [
        (sq.ones(2), sq.ones(2) + 1e-6, {}),
        (sq.ones(2).half(), sq.ones(2).half() * 1.0009, {}),
        (sq.ones(0), sq.ones(0), {}),
        (sq.tensor([NAN]), sq.tensor([NAN]), {"equal_nan": True}),
        (sq.tensor([float("inf")]), sq.tensor([float("inf")]), {}),
        ({"a": [1, 2.0], "b": None}, {"b": None, "a": [1, 2.0]}, {}),
        (sq.ones(2).double(), sq.ones(2) + 1e-6, {"check_dtype": False}),
        (np.ones(3), np.ones(3), {}),
        (2**62 + 1, 2**62 + 1, {}),
        (1 + 2j, 1 + 2j, {}),
        (sq.ones(2), sq.zeros(2), {"rtol": 0, "atol": 1}),
    ],
)
def test_what_is_close(actual, expected, options):
    assert_close(actual, expected, **options)


@pytest.mark.parametrize(
    ("actual", "expected", "options", "message"),
    [
        (sq.tensor([1.0, 2.0, 3.0]), sq.tensor([1.0, 2.0, 4.0]), {}, r"1 / 3 \(33.3%\)\n.*1.0 at index \(2,\).*1e-05"),
        (sq.tensor([1, 2]), sq.tensor([1, 5]), {}, r"not equal.*\n\n.*50.0%.*\n.*difference: 3 at index \(1,\)"),
        (sq.tensor([2**62]), sq.tensor([2**62 + 1]), {}, "not equal"),
        (1.0, 2.0, {}, "Scalars are not close!\n\nExpected 2.0 but got 1.0"),
        (sq.tensor([NAN]), sq.tensor([NAN]), {}, "nan at index"),
        (sq.tensor(0.0), sq.tensor(float("inf")), {}, "Expected inf"),
        (sq.ones(2), sq.ones(3), {}, "attribute 'shape'"),
        (sq.ones(2), sq.ones(2).double(), {}, "attribute 'dtype'"),
        (sq.ones(2, 2), sq.ones(2, 2).T, {"check_stride": True}, "stride"),
        ([1], [1, 2], {}, "length of the sequences mismatch: 1 != 2"),
        ({"a": 1}, {"b": 1}, {}, r"Missing keys.*\['b'\]"),
        ([{"k": sq.ones(1)}], [{"k": sq.zeros(1)}], {}, r"for item \[0\]\['k'\]"),
        (True, False, {}, "True is not False"),
        (None, 1, {}, "None is not 1"),
        (1, 1.0, {}, r"\(d\)types do not match"),
        (sq.ones(1), sq.zeros(1), {"msg": "mine"}, "^mine$"),
        (sq.ones(1), sq.zeros(1), {"msg": lambda text: "Y" + text}, "^YTensor"),
    ],
)
def test_what_is_not_close(actual, expected, options, message):
    with pytest.raises(AssertionError, match=message):
        assert_close(actual, expected, **options)


def test_what_cannot_be_compared():
    with pytest.raises(TypeError, match="handle inputs"):
        assert_close("a", "b")
    with pytest.raises(TypeError, match="handle inputs"):
        assert_close(sq.ones(2), [1.0, 1.0])
    with pytest.raises(ValueError, match="got no atol"):
        assert_close(1.0, 1.0, rtol=0.1)


@pytest.mark.parametrize(
    "name",
    ["bool", "uint8", "int8", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"],
)
def test_made_tensors_have_dtype_and_range(name):
    dtype = getattr(sq, name)
    made = make_tensor((40, 6), dtype=dtype, exclude_zero=True, noncontiguous=True)
    assert made.dtype is dtype
    assert made.shape == (40, 6)
    assert not made.is_contiguous()
    assert bool((made != 0).all())
    values = made.detach().numpy().astype(complex)
    least, most = {"bool": (1, 1), "uint8": (1, 9)}.get(name, (-9, 9))
    assert values.real.min() >= least and values.real.max() <= most
    assert name == "bool" or len(np.unique(values)) > 5


def test_made_tensors_take_bounds_and_gather_gradients():
    made = make_tensor(50, dtype=sq.float32, low=2, high=3, requires_grad=True)
    assert made.requires_grad and bool(((made >= 2) & (made < 3)).all())
    assert make_tensor(2, 3, dtype=sq.int32, low=4, high=5).tolist() == [[4] * 3] * 2
    with pytest.raises(ValueError, match="below high"):
        make_tensor(2, dtype=sq.float32, low=2, high=2)
    with pytest.raises(RuntimeError, match="requires_grad"):
        make_tensor(2, dtype=sq.int64, requires_grad=True)
