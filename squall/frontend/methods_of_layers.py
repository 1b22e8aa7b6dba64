"""Tensor methods whose work is in `squall.nn.functional`: found at the call, since imports go to lower rooms only."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def _functional(part: str = "") -> Any:
    return import_module("squall.nn.functional" + part)


class LayerMethods:
    """Mixed into Tensor: functions of `nn.functional` that PyTorch has as methods."""

    __slots__ = ()

    def hardshrink(self, lambd: float = 0.5) -> Any:
        """0 where |x| is at most lambd, else x; see `nn.functional.hardshrink`."""
        return _functional().hardshrink(self, lambd)

    def prelu(self, weight: Any) -> Any:
        """x where positive, else weight * x; see `nn.functional.prelu`."""
        return _functional().prelu(self, weight)

    def stft(self, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
             center: bool = True, pad_mode: str = "reflect", normalized: bool = False, onesided: bool | None = None,
             return_complex: bool | None = None, align_to_window: bool | None = None) -> Any:
        """Fourier transforms of overlapping frames; see `sq.stft`."""
        return _functional(".spectra").stft(self, n_fft, hop_length, win_length, window, center, pad_mode,
                                              normalized, onesided, return_complex, align_to_window)

    def istft(self, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
              center: bool = True, normalized: bool = False, onesided: bool | None = None, length: int | None = None,
              return_complex: bool = False) -> Any:
        """The signal of frames' Fourier transforms; see `sq.istft`."""
        return _functional(".spectra").istft(self, n_fft, hop_length, win_length, window, center, normalized,
                                               onesided, length, return_complex)
