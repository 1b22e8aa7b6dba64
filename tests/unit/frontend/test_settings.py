"""Switches that programs written for PyTorch set, and Tensors over other memory."""

import array

import numpy as np
import pytest

import squall as sq
from squall.base.errors import DeviceError


def test_switches_tell_what_was_set():
    assert not sq.are_deterministic_algorithms_enabled()
    sq.use_deterministic_algorithms(True, warn_only=True)
    try:
        assert sq.are_deterministic_algorithms_enabled() and sq.is_deterministic_algorithms_warn_only_enabled()
    finally:
        sq.use_deterministic_algorithms(False)
    assert not sq.is_deterministic_algorithms_warn_only_enabled()
    assert sq.get_float32_matmul_precision() == "highest"
    sq.set_float32_matmul_precision("high")
    assert sq.get_float32_matmul_precision() == "high"
    sq.set_float32_matmul_precision("highest")
    with pytest.raises(ValueError, match="'low'"):
        sq.set_float32_matmul_precision("low")
    sq.set_default_device("cpu")
    assert sq.get_default_device().type == "cpu"
    with pytest.raises(DeviceError, match="set_default_device"):
        sq.set_default_device("cuda")
    with sq.autograd.detect_anomaly():
        assert sq.is_anomaly_enabled()
    assert not sq.is_anomaly_enabled()
    sq.manual_seed(11)
    assert sq.initial_seed() == 11


@pytest.mark.parametrize("before, after, wanted", [
    ("float64", "float16", True), ("float32", "int64", False), ("complex64", "float32", False),
    ("int64", "bool", False), ("bool", "uint8", True), ("int64", "uint8", True), ("int8", "complex64", True)])
def test_can_cast(before, after, wanted):
    assert sq.can_cast(getattr(sq, before), getattr(sq, after)) is wanted


def test_asarray():
    given = np.zeros(3, "f4")
    for source in (given, memoryview(given), sq.from_numpy(given), array.array("f", [0.0, 0.0, 0.0])):
        shared, copied = sq.asarray(source), sq.asarray(source, copy=True)
        shared[1] = 5.0
        assert sq.asarray(source).tolist() == [0, 5, 0] and copied.tolist()[2] == 0
        copied[0] = 9.0
        assert sq.asarray(source).tolist() == [0, 5, 0]
        shared[1] = 0.0
    assert sq.asarray([1, 2]).dtype is sq.int64 and sq.asarray(2.5).item() == 2.5
    assert sq.asarray(given, dtype=sq.float64).dtype is sq.float64
    for source, options in (([1.0], {}), (given, {"dtype": "float64"})):
        with pytest.raises(ValueError, match="copy=False"):
            sq.asarray(source, copy=False, **options)
    assert sq.asarray(given, requires_grad=True).requires_grad
    with pytest.raises(RuntimeError, match="floating"):
        sq.asarray([1], requires_grad=True)


def test_frombuffer():
    memory = bytearray(np.arange(4, dtype="<f4").tobytes())
    made = sq.frombuffer(memory, dtype=sq.float32, offset=4, count=2)
    made[0] = 7.0
    assert np.frombuffer(memory, "<f4").tolist() == [0, 7, 2, 3] and made.tolist() == [7, 2]
    assert sq.frombuffer(bytes(memory), dtype=sq.float32).tolist() == [0, 7, 2, 3]
    for options in ({"count": 9}, {"offset": 1}):
        with pytest.raises(ValueError, match="frombuffer"):
            sq.frombuffer(memory, dtype=sq.float32, **options)


def test_functions_of_the_package():
    x = sq.tensor([-1.0, 0.2, 3.0])
    assert sq.prelu(x, sq.tensor([0.5])).tolist() == [-0.5, pytest.approx(0.2), 3.0]
    assert sq.threshold(x, 1.0, 9.0).tolist() == [9, 9, 3] and sq.hardshrink(x).tolist() == [-1, 0, 3]
    y = sq.tensor([0.5])
    assert sq.arcsin_(y) is y and y.item() == pytest.approx(np.arcsin(0.5))
    a, b = sq.ones(2, 2), sq.eye(2)
    assert a.addmm_(b, b, beta=2, alpha=3) is a and a.tolist() == [[5, 2], [2, 5]]
    assert sq.tensor([2.0]).igamma(sq.tensor([1.0])).item() == pytest.approx(1 - 2 / np.e)
    assert sq.orgqr.__wrapped__ is sq.linalg.householder_product
