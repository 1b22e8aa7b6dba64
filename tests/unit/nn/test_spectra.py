"""Transforms of frames: beside NumPy's transform of each frame, back again, differentiated, and refused."""

from __future__ import annotations

import numpy as np
import pytest

import squall as sq


def _frames(x: np.ndarray, window: np.ndarray, hop: int) -> np.ndarray:
    """The windowed frames of a signal, as columns."""
    n = len(window)
    return np.stack([x[t : t + n] * window for t in range(0, len(x) - n + 1, hop)], axis=-1)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("normalized", [True, False])
def test_each_frame_is_transformed(center: bool, normalized: bool) -> None:
    rng = np.random.RandomState(0)
    x, w = rng.randn(2, 30), rng.rand(6)
    got = sq.stft(sq.tensor(x), 8, 3, 6, sq.tensor(w), center=center, normalized=normalized, return_complex=True)
    norm = "ortho" if normalized else None
    whole = np.pad(x, ((0, 0), (4, 4)), mode="reflect") if center else x
    wanted = [np.fft.rfft(_frames(row, np.pad(w, 1), 3), axis=0, norm=norm) for row in whole]
    np.testing.assert_allclose(got.numpy(), np.stack(wanted), atol=1e-12)
    both = sq.stft(sq.tensor(x), 8, 3, 6, sq.tensor(w), center=center, normalized=normalized, onesided=False,
                   return_complex=False)
    assert both.shape == (2, 8, got.shape[-1], 2)
    np.testing.assert_allclose(both[:, :5, :, 1].numpy(), got.imag.numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", ["float64", "complex128"])
@pytest.mark.parametrize("length", [None, 27, 40])
def test_the_inverse_gives_the_signal_back(kind: str, length: int | None) -> None:
    rng = np.random.RandomState(1)
    x = sq.tensor(rng.randn(32).astype(kind) + (1j * rng.randn(32) if kind == "complex128" else 0))
    w = sq.hann_window(8, dtype=sq.float64)
    z = sq.stft(x, 8, 2, window=w, return_complex=True)
    back = sq.istft(z, 8, 2, window=w, length=length, return_complex=x.is_complex()).numpy()
    wanted = np.pad(x.numpy(), (0, 8))[: length or 32]
    assert back.shape == wanted.shape
    np.testing.assert_allclose(back[:32], wanted[:32], atol=1e-12)


def test_gradients_and_compiled_programs() -> None:
    x = sq.tensor(np.random.RandomState(2).randn(14), requires_grad=True)
    w = sq.hann_window(6, dtype=sq.float64) + 0.1

    def round_trip(x: sq.Tensor) -> sq.Tensor:
        z = sq.stft(x, 6, 2, window=w, return_complex=True)
        return sq.istft(z * z.abs(), 6, 2, window=w)

    assert sq.autograd.gradcheck(round_trip, (x,))
    np.testing.assert_array_equal(sq.compile(round_trip)(x).detach().numpy(), round_trip(x).detach().numpy())


def test_what_makes_no_sense_is_named() -> None:
    x, z = sq.ones(16), sq.ones(5, 4, dtype=sq.complex64)
    wrong = {
        "stft.*'return_complex'": lambda: sq.stft(x, 8),
        "stft.*'onesided'": lambda: sq.stft(x * 1j, 8, onesided=True),
        "stft.*hop_length=0": lambda: sq.stft(x, 8, 0, return_complex=True),
        r"stft.*'window' must have shape \(8,\)": lambda: sq.stft(x, 8, window=sq.ones(5), return_complex=True),
        "stft.*'n_fft' is 32": lambda: sq.stft(x, 32, center=False, return_complex=True),
        "stft.*'align_to_window'": lambda: sq.stft(x, 8, align_to_window=True, return_complex=True),
        "stft.*'input'": lambda: sq.stft(x.reshape(2, 2, 4), 4, return_complex=True),
        "istft.*'input' must be complex": lambda: sq.istft(x.reshape(4, 4), 4),
        "istft.*9 frequencies": lambda: sq.istft(z, 16),
        "istft.*'return_complex'": lambda: sq.istft(z, 8, return_complex=True),
        "istft.*'window' leaves positions": lambda: sq.istft(z, 8, window=sq.zeros(8)),
    }
    for message, call in wrong.items():
        with pytest.raises((RuntimeError, ValueError), match=message):
            call()
