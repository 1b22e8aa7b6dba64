"""Discrete Fourier transforms under PyTorch's names (`torch.fft`).

Arguments mean what they mean there: `n` or `s` are sizes that the input is cut or filled with zeros to, `dim` are the
dimensions transformed, and `norm` says which direction is divided by the number of elements: "backward" (default: the
inverse), "forward", or "ortho" (each by the root).
"""

from __future__ import annotations

from squall.frontend.fourier import (
    fft,
    fft2,
    fftfreq,
    fftn,
    fftshift,
    hfft,
    hfft2,
    hfftn,
    ifft,
    ifft2,
    ifftn,
    ifftshift,
    ihfft,
    ihfft2,
    ihfftn,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftfreq,
    rfftn,
)

__all__ = ["fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn",
           "ifftshift", "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn"]
