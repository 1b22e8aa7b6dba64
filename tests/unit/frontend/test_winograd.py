"""Frozen 3 x 3 convolutions by tiles of 2 x 2: against float64 sums over taps, alike in all calls."""

import numpy as np
import pytest

import squall as sq
from squall.base import config
from squall.compiler.target import machine
from squall.ops.winograd import pays
from tests.ops.test_older_processors import OLDER

F = sq.nn.functional
pytestmark = pytest.mark.skipif(config.get("backend") != "cpu", reason="freezes compiled calls")


def by_taps(x, weight, padding):
    """The convolution in float64, and what its rounding errors are relative to."""
    (high, wide), x, weight = padding, x.astype("f8"), weight.astype("f8")
    x = np.pad(x, ((0, 0), (0, 0), (high, high), (wide, wide)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
    return (np.einsum("nchwij,ocij->nohw", w, k) for w, k in ((windows, weight), (abs(windows), abs(weight))))


def frozen_layer(filters, channels, padding, bias=True):
    weight = sq.randn(filters, channels, 3, 3) / 24
    offset = sq.randn(filters) if bias else None
    return weight, offset, sq.compile(lambda x: F.conv2d(x, weight, offset, padding=padding), freeze=True)


def notes(compiled):
    return [p.folded.notes if p.folded is not None else [] for p in compiled.programs]


CASES = [((1, 64, 7, 7), 64, (1, 1)), ((2, 64, 8, 5), 96, (1, 1)), ((1, 70, 1, 9), 65, (1, 1)),
         ((3, 64, 3, 3), 64, (0, 0)), ((1, 64, 6, 1), 67, (0, 2)), ((2, 96, 14, 14), 64, (1, 0)),
         ((1, 128, 4, 4), 128, (3, 2)), ((1, 64, 1, 1), 64, (1, 1)), ((0, 64, 5, 5), 64, (1, 1))]  # fmt: skip


@pytest.mark.parametrize("shape, filters, padding, isa", [
    *((*case, "") for case in CASES), *((*CASES[2], isa) for isa in OLDER)])  # fmt: skip
def test_sums_over_taps(shape, filters, padding, isa):
    with config.options(**({"isa": isa} if isa else {})):
        assert not isa or machine().isa == isa
        weight, bias, layer = frozen_layer(filters, shape[1], padding)
        x = sq.randn(*shape)
        with sq.no_grad():
            results = [layer(x).numpy() for _ in range(3)]
        wanted, size = by_taps(x.numpy(), weight.numpy(), padding)
        assert results[0].shape == wanted.shape and len({r.tobytes() for r in results}) == 1
        assert all("convolution by tiles of 2 x 2" in found for found in notes(layer))
        wanted = wanted + bias.numpy().astype("f8")[:, None, None]
        assert (abs(results[0] - wanted) <= 2.0**-22 * (4 * size + abs(wanted))).all()


def test_older_instruction_sets_have_the_same_bits():
    weight, bias, _ = frozen_layer(64, 64, (1, 1))
    x, found = sq.randn(1, 64, 5, 6), []
    for isa in ("", *OLDER):
        with config.options(**({"isa": isa} if isa else {})), sq.no_grad():
            layer = sq.compile(lambda x: F.conv2d(x, weight, bias, padding=1), freeze=True)
            found.append([layer(x).numpy() for _ in range(2)][-1].tobytes())
    assert len(set(found)) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_have_the_same_bits(threads):
    sq.manual_seed(3)
    *_, layer = frozen_layer(128, 128, (1, 1))
    x, before = sq.randn(1, 128, 14, 14), sq.get_num_threads()
    with sq.no_grad():
        wanted = layer(x).numpy().tobytes()
        try:
            sq.set_num_threads(threads)
            assert all(layer(x).numpy().tobytes() == wanted for _ in range(3))
        finally:
            sq.set_num_threads(before)


def test_every_size_of_picture_and_batch_rounds_alike():
    """With one way to multiply whatever the number of rows, see `nest.fits_parts`."""
    with config.options(isa=OLDER[0]), sq.no_grad():
        *_, layer = frozen_layer(64, 64, (1, 1))
        whole = sq.randn(12, 64, 6, 12)
        batches = [layer(whole[:n]).numpy()[0] for n in range(1, 13)]
        sizes = [layer(whole[:1, :, :, :n]).numpy()[0, :, :, : n - 1] for n in range(4, 13)]
    assert len({b.tobytes() for b in batches}) == 1
    assert all(np.array_equal(s, batches[0][:, :, : s.shape[2]]) for s in sizes)
    assert any(p.is_symbolic for p in layer.programs)


def test_every_size_of_batch_has_the_bits_of_a_program_of_its_own():
    weight, bias, layer = frozen_layer(64, 64, (1, 1))
    whole = sq.randn(12, 64, 6, 12)
    with sq.no_grad():
        for n in range(1, 13):
            own = sq.compile(lambda x: F.conv2d(x, weight, bias, padding=1), freeze=True)
            assert layer(whole[:n]).numpy().tobytes() == own(whole[:n]).numpy().tobytes(), n
    assert any(p.is_symbolic for p in layer.programs)


def test_a_write_is_seen_and_history_has_taps():
    weight, _, layer = frozen_layer(64, 64, (1, 1), bias=False)
    x = sq.randn(1, 64, 6, 6)
    with sq.no_grad():
        before = [layer(x).numpy() for _ in range(3)][-1]
        weight.mul_(2.0)
        np.testing.assert_array_equal(layer(x).numpy(), 2 * before)
    leaf, other = (x.detach().requires_grad_() for _ in range(2))
    layer(leaf).square().sum().backward()
    F.conv2d(other, weight, padding=1).square().sum().backward()
    assert [] in notes(layer) and leaf.grad.numpy().tobytes() == other.grad.numpy().tobytes()


def test_which_layers_are_computed_so():
    plain, one = ((64, 64, 3, 3), (1, 1), (1, 1), 1, sq.float32), (1, 1)
    assert pays(*plain) and pays((128, 512, 3, 3), *plain[1:])
    others = [((64, 64, 3, 3), (2, 2), one, 1, sq.float32), ((64, 64, 3, 3), one, (2, 2), 1, sq.float32),
              ((64, 64, 3, 3), one, (1, 2), 1, sq.float32), ((64, 32, 3, 3), one, one, 2, sq.float32),
              ((64, 64, 3, 3), one, one, 1, sq.float64), ((64, 64, 3, 1), one, one, 1, sq.float32),
              ((64, 64, 3), (1,), (1,), 1, sq.float32), ((63, 64, 3, 3), one, one, 1, sq.float32),
              ((512, 512, 3, 3), one, one, 1, sq.float32)]  # fmt: skip
    assert not any(pays(*other) for other in others)
