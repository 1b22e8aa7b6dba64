"""Moving elements between channels and space."""

from __future__ import annotations

from math import prod
from typing import Any

from squall.frontend.conversion import own_memory
from squall.nn.functional.core import ShapeError, check_tensor


def _image(function: str, input: Any) -> None:
    check_tensor(function, "input", input)
    if input.dim() < 3:
        raise ShapeError(
            f"{function}: argument 'input' must have at least 3 dimensions (..., channels, height, width), got shape "
            f"{tuple(input.shape)}"
        )


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """(..., channels * r^2, height, width) as (..., channels, height * r, width * r).

    Args:
        upscale_factor: r.

    Raises:
        ShapeError: unless r^2 divides the channels.
    """
    _image("pixel_shuffle", input)
    r = int(upscale_factor)
    *lead, channels, height, width = input.shape
    if r < 1 or channels % (r * r):
        raise ShapeError(
            f"pixel_shuffle: the {channels} channels of 'input' of shape {tuple(input.shape)} must be divisible by "
            f"upscale_factor^2={r * r}"
        )
    parts = input.reshape(prod(lead), channels // (r * r), r, r, height, width).permute(0, 1, 4, 2, 5, 3)
    return own_memory(parts.reshape(*lead, channels // (r * r), height * r, width * r), input)


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """(..., channels, height * r, width * r) as (..., channels * r^2, height, width).

    Args:
        downscale_factor: r.

    Raises:
        ShapeError: unless r divides height and width.
    """
    _image("pixel_unshuffle", input)
    r = int(downscale_factor)
    *lead, channels, height, width = input.shape
    if r < 1 or height % r or width % r:
        raise ShapeError(
            f"pixel_unshuffle: height and width of 'input' of shape {tuple(input.shape)} must be divisible by "
            f"downscale_factor={r}"
        )
    parts = input.reshape(prod(lead), channels, height // r, r, width // r, r).permute(0, 1, 3, 5, 2, 4)
    return own_memory(parts.reshape(*lead, channels * r * r, height // r, width // r), input)


def channel_shuffle(input: Any, groups: int) -> Any:
    """Deal the channels (dimension 1) out so that each new group has some of every old one.

    Args:
        groups: divides the channels.
    """
    _image("channel_shuffle", input)
    batch, channels, *sizes = input.shape
    if groups < 1 or channels % groups:
        raise ShapeError(
            f"channel_shuffle: the {channels} channels of 'input' of shape {tuple(input.shape)} must be divisible by "
            f"groups={groups}"
        )
    return input.reshape(batch, groups, channels // groups, *sizes).transpose(1, 2).reshape(input.shape)


def native_channel_shuffle(input: Any, groups: int) -> Any:
    """`channel_shuffle` under the name of PyTorch's kernel.

    Args:
        input: (batch, channels, ...). groups: divides the channels.

    Raises:
        ShapeError: for channels that the groups do not divide.
    """
    return channel_shuffle(input, groups)
