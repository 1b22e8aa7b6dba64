"""`Tensor.numpy` by native code gives what Python gives: memory seen by both for as long as the array lives."""

import gc
import subprocess
import sys

import numpy as np
import pytest

import squall as sq
from squall.base.errors import AutogradError
from squall.frontend import exporting
from squall.ir.node import SharedType
from tests.unit.frontend.native_code import in_python, load


@pytest.fixture(autouse=True)
def native():
    load()


def fresh(shape=(2, 3), dtype="float32"):
    """A computed Tensor of which nobody else knows, of a type that was met before."""
    learned = sq.zeros(*shape, dtype=dtype)
    learned.numpy()
    made = sq.ones(*shape, dtype=dtype) + sq.ones(*shape, dtype=dtype)
    sq.flush()
    return made


def is_native(array):
    return type(array.base).__name__ == "PyCapsule"


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "float16", "complex64", "bool"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0, 3), (1, 2, 3, 4)])
def test_the_array_is_the_one_python_makes(dtype, shape):
    t = fresh(shape, dtype)
    a = t.numpy()
    assert is_native(a)
    with in_python():
        b = fresh(shape, dtype).numpy()
    assert a.dtype == b.dtype and a.shape == b.shape and a.strides == b.strides
    for flag in ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE", "ALIGNED", "OWNDATA"):
        assert a.flags[flag] == b.flags[flag], flag
    np.testing.assert_array_equal(a, b)


def test_what_is_pending_is_computed_first():
    fresh()
    t = sq.ones(2, 3) * 3.0
    late = t + 1.0
    a = t.numpy()
    assert late.node.buffer is not None, "everything pending is evaluated, as by Python"
    assert a.tolist() == [[3.0] * 3] * 2


def test_writes_are_seen_by_both_and_sharing_ends_with_the_last_array():
    t = fresh()
    a = t.numpy()
    b = t.numpy()
    assert is_native(a) and is_native(b) and a.ctypes.data == b.ctypes.data
    assert t._cell.shared == 2 and type(t.node.type) is SharedType and t.node.buffer.shared
    a[0, 0] = 9
    t.mul_(2.0)
    assert b[0, 0] == 18 and t[0, 0].item() == 18
    double = t + t
    a[:] = 0
    assert double[0, 0].item() == 36, "computed when it was recorded"
    del a
    gc.collect()
    assert t._cell.shared == 1
    del b
    gc.collect()
    assert t._cell.shared is None and type(t.node.type) is not SharedType and not t.node.buffer.shared
    assert (t + 1).node.buffer is None, "reads are lazy again"
    assert is_native(t.numpy())


def test_memory_others_refer_to_is_copied():
    t = fresh()
    other = t.detach() if t._cell is None else t
    held = t.node
    a = t.numpy()
    assert not is_native(a), "Python makes a copy: a value never changes"
    a[:] = 7
    assert held.buffer is not t.node.buffer
    assert t.tolist() == [[7.0] * 3] * 2 and other is not None


def test_nothing_is_overwritten_while_an_array_lives():
    step = sq.compile(lambda v: v * 2.0 + 1.0)
    t = fresh()
    a = t.numpy()
    before = a.copy()
    for _ in range(12):
        t = step(t)
        sq.flush()
    np.testing.assert_array_equal(a, before)
    assert t.numpy()[0, 0] == 2.0 * 4096 + 4095


def test_an_array_outlives_its_tensor_and_memory_comes_back():
    arrays = [(fresh() + float(i)).numpy() for i in range(200)]
    gc.collect()
    assert [a[1, 2] for a in arrays] == [2.0 + i for i in range(200)]
    places = {a.ctypes.data for a in arrays}
    del arrays
    again = {(fresh() + float(i)).numpy().ctypes.data for i in range(3)}
    assert again & places, "the pieces are used again"


def test_views_and_history_are_left_to_python():
    t = fresh()
    assert not is_native(t.T.numpy())
    assert t[1:].numpy().tolist() == [[2.0] * 3]
    w = sq.ones(2, 3, requires_grad=True)
    with pytest.raises(AutogradError, match="requires grad"):
        (w * 2).numpy()
    assert (w * 2).numpy(force=True)[0, 0] == 2
    with pytest.raises(TypeError):
        t.numpy(1)


def test_types_are_forgotten_beyond_a_bound(monkeypatch):
    monkeypatch.setattr(exporting, "MOST", 4)
    for n in range(1, 20):
        assert fresh((n,)).numpy().shape == (n,)
    assert len(exporting.known) <= 6


def test_a_process_leaves_with_arrays_alive():
    program = (
        "import squall as sq\nfrom tests.unit.frontend.native_code import load\nload()\n"
        "sq.zeros(3).numpy()\nx = [(sq.ones(3) + i).numpy() for i in range(20)]\n"
        "x.append(x)\nprint(type(x[19].base))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0 and "PyCapsule" in done.stdout, done.stderr
