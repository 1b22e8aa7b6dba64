"""Memory shared with NumPy and DLPack: both see every write, nobody else does, and it ends with the array."""

import gc

import numpy as np
import pytest

import squall as sq


def test_from_numpy_shows_writes_of_either_side():
    a = np.zeros((3, 2), "float32")
    t = sq.from_numpy(a)
    t[1] = 5
    t.T[0].add_(1)
    assert a.tolist() == [[1, 0], [6, 5], [1, 0]]
    a[0] = 7
    assert t[0].tolist() == [7, 7] and t.sum().item() == 7 + 7 + 6 + 5 + 1
    view, double = t[:, 1], t * 2
    a[:, 1] = 9
    assert view.tolist() == [9, 9, 9]
    assert double[:, 1].tolist() == [14, 10, 0], "computed when it was recorded"


def test_numpy_shows_writes_of_either_side():
    t = sq.zeros(3)
    early = t[1:]
    a = t.numpy()
    a[1] = 4
    assert t.tolist() == [0, 4, 0] and early.tolist() == [4, 0]
    t.add_(1)
    early.mul_(2)
    assert a.tolist() == [1, 10, 2]
    t[0] = 3
    t.copy_(t * 2)
    assert a.tolist() == [6, 20, 4]
    later = early * 1
    a[:] = 0
    assert later.tolist() == [20, 4]


def test_sharing_ends_when_the_array_goes():
    t = sq.zeros(3)
    first, second = t.numpy(), t[1:].numpy()
    del first
    t.add_(1)
    assert second.tolist() == [1, 1]
    del second
    gc.collect()
    pending = t + 1
    assert pending.node.buffer is None, "reads are lazy again"
    t.mul_(5)
    assert t.tolist() == [5, 5, 5] and pending.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    "slice_of", [lambda t: t, lambda t: t.T, lambda t: t[1:], lambda t: t[:, ::2], lambda t: t.detach()]
)
def test_an_array_of_a_view_lies_in_the_storage(slice_of):
    t = sq.zeros(4, 4)
    sq.flush()
    gc.collect()  # a compiler that has just run leaves references in cycles
    where = t.node.buffer.pointer
    a = slice_of(t).numpy()
    a[...] = 1
    assert t.sum().item() == a.size
    assert where <= a.__array_interface__["data"][0] < where + 64, "no copy"


def test_writes_to_an_array_never_reach_another_value():
    x = sq.zeros(3)
    copy, same = x.clone(), sq.zeros(3)
    same.copy_(x)
    x.numpy()[:] = 5
    assert copy.tolist() == same.tolist() == [0, 0, 0]
    a, b = sq.ones(3, requires_grad=True), sq.ones(3, requires_grad=True)
    (a + b).sum().backward()
    a.grad.numpy()[0] = 7
    assert a.grad.tolist() == [7, 1, 1] and b.grad.tolist() == [1, 1, 1]
    w = sq.ones(3)
    product = w * 2
    w.numpy()[:] = 9
    assert product.tolist() == [2, 2, 2]


def test_gradients_of_shared_memory_are_computed_before_it_can_change():
    batch = np.ones(3, "float32")
    w = sq.zeros(3, requires_grad=True)
    (w * sq.from_numpy(batch)).sum().backward()
    batch[:] = 100
    assert w.grad.tolist() == [1, 1, 1]
    (g,) = sq.autograd.grad((w * sq.from_numpy(batch)).sum(), w)
    batch[:] = 0
    assert g.tolist() == [100, 100, 100]


def test_copies_of_shared_memory_are_copies():
    a = np.ones(3, "float32")
    t = sq.from_numpy(a)
    clone, written, tensor = t.clone(), sq.zeros(3), sq.tensor(a)
    written[...] = t
    a[:] = 4
    assert clone.tolist() == written.tolist() == tensor.tolist() == [1, 1, 1]
    assert sq.as_tensor(a).tolist() == t.tolist() == [4, 4, 4]


def test_history_goes_through_writes_to_shared_memory():
    w = sq.tensor([1.0, 2.0], requires_grad=True)
    t = sq.from_numpy(np.zeros(2, "float32"))
    t[0:1].copy_(w[1:])
    t.mul_(3)
    t.sum().backward()
    assert w.grad.tolist() == [0, 3] and t.tolist() == [6, 0]


def test_fortran_order_and_strides():
    f = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    t = sq.from_numpy(f)
    assert t.stride() == (1, 2) and not t.is_contiguous() and t.tolist() == f.tolist()
    t.mul_(2)
    t[0, 1] = -1
    t.T[0] = 0
    assert f.tolist() == [[0, -1, 4], [0, 8, 10]]
    every_second = np.arange(8, dtype="int64")[::2]
    s = sq.from_numpy(every_second)
    s += 1
    assert every_second.tolist() == [1, 3, 5, 7] and s.stride() == (2,)


def test_what_cannot_be_shared_says_so():
    for array, error in [
        (np.arange(3)[::-1], "negative"),
        (np.zeros(2, ">f4"), "byte-swapped"),
        (np.zeros(2, "clongdouble"), "no counterpart"),
    ]:
        with pytest.raises((ValueError, RuntimeError, TypeError), match=error):
            sq.from_numpy(array)
    frozen = np.zeros(2)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        sq.from_numpy(frozen)
    with pytest.raises(TypeError, match="expected an ndarray"):
        sq.from_numpy([1.0])
    with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
        sq.ones(2, requires_grad=True).numpy()
    assert sq.ones(2, requires_grad=True).numpy(force=True).tolist() == [1, 1]


def test_dlpack_both_ways():
    a = np.arange(6, dtype="float32").reshape(2, 3)
    t = sq.from_dlpack(a)
    t += 1
    assert a[1, 2] == 6
    s = sq.zeros(3)
    b = np.from_dlpack(s)
    s[1] = 2
    assert b.tolist() == [0, 2, 0]
    assert sq.from_dlpack(sq.arange(3)).tolist() == [0, 1, 2]
    assert s.__dlpack_device__() == (1, 0)


@pytest.mark.parametrize(
    "name", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bfloat16"]
)
def test_every_dtype_goes_both_ways(name):
    t = sq.tensor([0, 1, 1]).to(getattr(sq, name))
    a = t.numpy()
    a[0] = 1
    assert t.tolist() == [1, 1, 1] and a.dtype.itemsize == t.element_size()
    if name != "bfloat16":
        assert sq.from_numpy(a).dtype is t.dtype


def test_operators_with_arrays_on_either_side_give_tensors():
    t, a = sq.tensor([1.0, 2.0]), np.array([3.0, 4.0], "float32")
    for made, expected in [
        (t + a, [4, 6]),
        (a + t, [4, 6]),
        (a - t, [2, 2]),
        (t / a, [1 / 3, 0.5]),
        (a * t, [3, 8]),
        (a @ t, 11),
        (t @ a, 11),
        (a > t, [True, True]),
        (np.float32(2) * t, [2, 4]),
        (t * np.float64(2), [2, 4]),
        (np.int64(3) + t, [4, 5]),
    ]:
        assert isinstance(made, sq.Tensor) and np.allclose(made.tolist(), expected)
        assert made.dtype in (sq.float32, sq.bool)
    t += a
    assert t.tolist() == [4, 6]
    assert np.asarray(t).tolist() == [4, 6] and np.sin(t).shape == (2,)
    assert np.array(t, dtype="int32").tolist() == [4, 6]
