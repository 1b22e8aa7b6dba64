"""Fourier transforms of the frames of a signal (`stft`) and back (`istft`), under PyTorch's names."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import ArgumentError
from squall.frontend.autocast import full_precision
from squall.frontend.state import local
from squall.nn.functional.core import DtypeError, ShapeError, apply, check_tensor, ops
from squall.nn.functional.padding import pad

LEAST = 1e-11  # of the sum of squared windows at a position: below, nothing is known of the signal there


@full_precision
def stft(
    input: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Any:
    """Fourier transforms of overlapping frames of a signal.

    Args:
        input: shape (length,) or (batch, length), real or complex. n_fft: points of each transform. hop_length: from
            frame to frame; n_fft // 4 by default. win_length: points of the window, which zeros complete on both
            sides; n_fft by default. window: shape (win_length,); ones by default. center: frame t has position
            t * hop_length in its middle; the signal is continued on both sides. pad_mode: how, see `F.pad`.
            normalized: divide by the root of n_fft. onesided: only the n_fft // 2 + 1 frequencies that tell the
            others; by default for real signals and windows. return_complex: must be given for real ones; False
            gives real and imaginary parts as a last dimension. align_to_window: without `center`, frame t begins
            where its window does.

    Returns:
        Tensor: complex, shape (batch, frequencies, frames); without batch for a signal without.

    Raises:
        ShapeError: for other ranks, or a signal shorter than a frame. ArgumentError: for sizes that make no sense,
        onesided complex transforms, or a missing `return_complex`.

    Example:
        >>> import squall as sq
        >>> sq.stft(sq.ones(8), 4, center=False, return_complex=True).shape
        squall.Size([3, 5])
    """
    check_tensor("stft", "input", input)
    hop, width = _sizes("stft", n_fft, hop_length, win_length, window)
    whole = input.is_complex() or (window is not None and window.is_complex())
    _check_signal(input, whole, onesided, return_complex)
    if center and align_to_window is not None:
        raise ArgumentError("stft: argument 'align_to_window' must be None with center=True")
    x = input if input.dim() == 2 else input.unsqueeze(0)
    if center:
        x = pad(x.unsqueeze(1), (n_fft // 2, n_fft // 2), pad_mode).squeeze(1)
    elif align_to_window:
        left = (n_fft - width) // 2
        x = pad(x, (left, n_fft - width - left))
    if isinstance(x.shape[-1], int) and x.shape[-1] < n_fft:
        raise ShapeError(f"stft: argument 'n_fft' is {n_fft}, more than the {x.shape[-1]} points of the signal of "
                         f"shape {tuple(input.shape)}")
    frames = x.unfold(-1, n_fft, hop)
    if window is not None or width != n_fft:
        frames = frames * _window(window, width, n_fft, frames.dtype)
    transform = sq.fft.fft if whole or onesided is False else sq.fft.rfft
    out = transform(frames, norm="ortho" if normalized else "backward").transpose(-2, -1)
    out = out if input.dim() == 2 else out.squeeze(0)
    return sq.view_as_real(out) if return_complex is False else out


def istft(
    input: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Any:
    """The signal whose frames have given Fourier transforms, in the sense of least squares: `stft` turned back.

    Args:
        input: complex, shape (frequencies, frames) or (batch, frequencies, frames). n_fft, hop_length, win_length,
            window, center, normalized, onesided: as they were for `stft`. length: of the signal; by default what the
            frames cover, without what `center` added. return_complex: the signal is complex; not of onesided input.

    Returns:
        Tensor: shape (length,) or (batch, length).

    Raises:
        ShapeError: for other ranks or numbers of frequencies. ArgumentError: for sizes that make no sense, or windows
        that leave positions of the signal uncovered (not looked at in compiled functions). DtypeError: for real input.

    Example:
        >>> import squall as sq
        >>> x, w = sq.arange(8.0), sq.hann_window(4)
        >>> y = sq.istft(sq.stft(x, 4, window=w, return_complex=True), 4, window=w)
        >>> bool(sq.allclose(x, y, atol=1e-5))
        True
    """
    check_tensor("istft", "input", input)
    hop, width = _sizes("istft", n_fft, hop_length, win_length, window)
    onesided = _check_spectrum(input, n_fft, onesided, return_complex)
    x = (input if input.dim() == 3 else input.unsqueeze(0)).transpose(-2, -1)
    norm = "ortho" if normalized else "backward"
    frames = (sq.fft.ifft(x, norm=norm) if return_complex
              else sq.fft.irfft(x[..., : n_fft // 2 + 1], n_fft, norm=norm))
    weight = _window(window, width, n_fft, frames.dtype)
    reach = n_fft + hop * (x.shape[1] - 1)
    first = n_fft // 2 if center else 0
    last = reach - first if length is None else first + length
    signal = _overlapped(frames * weight, reach, hop)[:, first:last]
    cover = _overlapped((weight * weight).expand(1, x.shape[1], n_fft), reach, hop)[:, first:last]
    if local.state.trace is None and bool((cover.detach().abs() < LEAST).any()):
        raise ArgumentError("istft: argument 'window' leaves positions of the signal uncovered: the sum of its squares "
                            f"over the frames is 0 there; window of {width} points, hop_length={hop}, center={center}")
    out = signal / cover
    out = pad(out, (0, last - reach)) if last > reach else out
    return out if input.dim() == 3 else out.squeeze(0)


def _check_signal(input: Any, whole: bool, onesided: bool | None, return_complex: bool | None) -> None:
    """Errors unless `stft` can transform the signal, `whole` when all frequencies of its frames differ."""
    if input.dim() not in (1, 2) or input.dtype.category < 2:
        raise ShapeError(f"stft: argument 'input' must be a floating or complex signal of shape (length,) or (batch, "
                         f"length), got shape {tuple(input.shape)} and dtype {input.dtype}")
    if return_complex is None and not whole:
        raise ArgumentError("stft: argument 'return_complex' must be given for real signals and windows: True, or "
                            "False for parts as a last dimension")
    if onesided and whole:
        raise ArgumentError("stft: argument 'onesided' must be False for complex signals or windows")


def _check_spectrum(input: Any, n_fft: int, onesided: bool | None, return_complex: bool) -> bool:
    """Whether transforms for `istft` hold the first half of their frequencies only; errors for what they cannot be."""
    if not input.is_complex():
        raise DtypeError(f"istft: argument 'input' must be complex, as stft(..., return_complex=True) gives it, got "
                         f"{input.dtype}")
    if input.dim() not in (2, 3) or 0 in input.shape:
        raise ShapeError("istft: argument 'input' must have shape (frequencies, frames) or (batch, frequencies, "
                         f"frames) with elements, got {tuple(input.shape)}")
    onesided = bool(input.shape[-2] != n_fft) if onesided is None else onesided
    points = n_fft // 2 + 1 if onesided else n_fft
    if input.shape[-2] != points:
        raise ShapeError(f"istft: argument 'input' must have {points} frequencies for n_fft={n_fft} and "
                         f"onesided={onesided}, got shape {tuple(input.shape)}")
    if return_complex and onesided:
        raise ArgumentError("istft: argument 'return_complex' must be False for onesided input")
    return onesided


def _sizes(function: str, n_fft: int, hop_length: int | None, win_length: int | None, window: Any) -> tuple[int, int]:
    """The step from frame to frame and the window's points, checked."""
    hop, width = n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length
    if n_fft <= 0 or hop <= 0 or not 0 < width <= n_fft:
        raise ArgumentError(f"{function}: expected n_fft > 0, hop_length > 0 and 0 < win_length <= n_fft, got n_fft="
                            f"{n_fft}, hop_length={hop} and win_length={width}")
    if window is not None and tuple(window.shape) != (width,):
        raise ShapeError(f"{function}: argument 'window' must have shape ({width},), as win_length says, got "
                         f"{tuple(window.shape)}")
    return hop, width


def _window(window: Any, width: int, n_fft: int, dtype: Any) -> Any:
    """The window with zeros around it up to n_fft points."""
    left = (n_fft - width) // 2
    return pad(sq.ones(width, dtype=dtype) if window is None else window, (left, n_fft - width - left))


def _overlapped(frames: Any, reach: int, hop: int) -> Any:
    """Frames (batch, frames, points) added up where they stand."""
    shape, sizes = (frames.shape[0], reach), (frames.shape[2],)
    return apply(ops.unwindow, (frames,), shape=shape, dims=(1,), sizes=sizes, steps=(hop,), dilations=(1,))
