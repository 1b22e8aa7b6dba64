"""Capsules of other libraries, with NumPy as the producer."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from squall.runtime.dlpack import from_capsule


@pytest.mark.parametrize(("dtype", "kind", "bits"), [
    ("f4", "float", 32), ("f8", "float", 64), ("i1", "int", 8), ("u8", "uint", 64),
    ("?", "bool", 8), ("f2", "float", 16)])
def test_element_types(dtype, kind, bits):
    tensor = from_capsule(np.zeros((2, 3), dtype).__dlpack__())
    assert (tensor.shape, tensor.kind, tensor.bits, tensor.device) == ((2, 3), kind, bits, (1, 0))
    assert tensor.block.nbytes == 6 * bits // 8


def test_views_point_at_their_first_element():
    base = np.arange(24.0).reshape(4, 6)
    view = base[1:, ::2]
    tensor = from_capsule(view.__dlpack__())
    assert tensor.block.pointer == view.ctypes.data
    assert tensor.strides == (6, 2)
    assert tensor.block.nbytes == 8 * (2 * 6 + 2 * 2 + 1)


def test_empty_and_scalar():
    assert from_capsule(np.zeros((0, 5)).__dlpack__()).block.nbytes == 0
    scalar = from_capsule(np.array(3.0).__dlpack__())
    assert (scalar.shape, scalar.block.nbytes) == ((), 8)


def test_the_producer_lives_as_long_as_the_block():
    class Array(np.ndarray):
        """Can be referred to weakly."""

    array = np.arange(1000.0).view(Array)
    alive = weakref.ref(array)
    tensor = from_capsule(array.__dlpack__())
    del array
    gc.collect()
    assert alive() is not None
    assert np.asarray(tensor.block.array("<f8", tensor.shape))[999] == 999
    del tensor
    gc.collect()
    assert alive() is None


def test_versioned_capsules_say_what_is_read_only():
    array = np.zeros(3)
    array.flags.writeable = False
    try:
        capsule = array.__dlpack__(max_version=(1, 0))
    except TypeError:
        pytest.skip("this NumPy makes unversioned capsules only")
    assert from_capsule(capsule).read_only
    assert not from_capsule(np.zeros(3).__dlpack__(max_version=(1, 0))).read_only


def test_used_capsules_are_refused():
    array = np.zeros(3)
    capsule = array.__dlpack__()

    class Producer:
        def __dlpack__(self, **_):
            return capsule

        def __dlpack_device__(self):
            return (1, 0)

    np.from_dlpack(Producer())
    with pytest.raises(ValueError, match="used already"):
        from_capsule(capsule)
