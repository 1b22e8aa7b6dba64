"""Random numbers: counter-based generators, so a seed gives the same stream on every backend and thread count (S16).

A Generator is a seed and a position. A draw takes the position as a run-time scalar and moves it on by a count known
when it is recorded, so drawing never waits and a compiled program can draw again from where the generator stands.
"""

from __future__ import annotations

import os
from typing import Any

from squall.base.dtypes import as_dtype, default_dtype, int64, real_of
from squall.base.errors import ArgumentError, DtypeError
from squall.base.formats import check_format
from squall.base.shapes import broadcast, numel
from squall.frontend import creation
from squall.frontend.conversion import clone as conversion_clone
from squall.frontend.conversion import copy_
from squall.frontend.core import cast, record, result, scalar_node
from squall.frontend.factories import factory
from squall.frontend.movement import shape_argument
from squall.frontend.out import into
from squall.frontend.state import local
from squall.frontend.tracing import refuse
from squall.ir.node import Node
from squall.ir.op import make, ops, refuse_float8

MOST_CATEGORIES = 1 << 24  # of `multinomial`, as in PyTorch


class Generator:
    """A stream of random numbers.

    Args:
        device: "cpu".

    Example:
        >>> import squall as sq
        >>> g = sq.Generator().manual_seed(7)
        >>> a = sq.rand(2, generator=g); b = sq.rand(2, generator=g.manual_seed(7))
        >>> bool((a == b).all())
        True
    """

    def __init__(self, device: Any = "cpu"):
        self.device = creation.check_device(device, "Generator")
        self._seed, self.offset = 67280421310721, 0

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of a seed from its beginning."""
        if not isinstance(seed, int):
            raise TypeError(f"manual_seed: seed must be an int, got {type(seed).__name__}")
        wrapped = ((seed + (1 << 63)) % (1 << 64)) - (1 << 63)
        if local.state.trace is not None:
            local.state.trace.reseed(self, wrapped)
        else:
            self._seed, self.offset = wrapped, 0
        return self

    def seed(self) -> int:
        """Start from a seed the operating system gives; returns it."""
        refuse("seeding from the operating system", "use manual_seed")
        self.manual_seed(int.from_bytes(os.urandom(7), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return self._seed

    def get_state(self) -> Any:
        """Seed and position, as an int64 Tensor."""
        refuse("reading a generator's state", "read it outside of the function")
        return creation.tensor([self._seed, self.offset], dtype=int64)

    def set_state(self, state: Any) -> Generator:
        """Continue from what `get_state` gave."""
        refuse("setting a generator's state", "use manual_seed")
        self._seed, self.offset = (int(v) for v in state.tolist())
        return self

    def take(self, words: Any) -> tuple[Node, Node]:
        """Scalars of the seed and position of the next `words` 32-bit words, which are then used up."""
        trace = local.state.trace
        if trace is not None:
            return trace.draw(self, words)
        nodes = scalar_node(self._seed, int64), scalar_node(self.offset, int64)
        self.offset += -(-words // 4)
        return nodes


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default generator's stream of a seed."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the default generator from a seed the operating system gives."""
    return default_generator.seed()


def get_rng_state() -> Any:
    """Seed and position of the default generator."""
    return default_generator.get_state()


def set_rng_state(state: Any) -> None:
    """Continue the default generator from what `get_rng_state` gave."""
    default_generator.set_state(state)


def draw(op: Any, shape: tuple, dtype: Any, generator: Generator | None, words_each: int = 1) -> Any:
    """A Tensor of a random op over shape."""
    seed_node, offset = (generator or default_generator).take(words_each * numel(shape))
    return result(make(op, (seed_node, offset), op.pack({"shape": shape, "dtype": dtype})))


def _words(dtype: Any) -> int:
    return 2 if dtype.itemsize == 8 else 1


def _numbers(op: Any, shape: tuple, dtype: Any, generator: Generator | None, function: str) -> Any:
    """A Tensor of `op` over shape; of a complex dtype both parts are drawn, normal ones with variance 1 together."""
    kind = default_dtype() if dtype is None else as_dtype(dtype)
    if kind.category < 2 or kind.is_float8:
        raise DtypeError(f"{function}: argument 'dtype' must be floating (16 bits or more) or complex, got {kind}")
    if kind.category == 2:
        return draw(op, shape, kind, generator, _words(kind))
    part = real_of(kind)
    parts = [draw(op, shape, part, generator, _words(part)) for _ in range(2)]
    if op is ops.normal:
        parts = [p * 0.5**0.5 for p in parts]
    return record(ops.complex, tuple(parts), ())


@factory
def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Uniform numbers in [0, 1)."""
    creation.check_device(device, "rand")
    made = _numbers(ops.uniform, shape_argument(size, "rand"), dtype, generator, "rand")
    return creation.require_grad(made, requires_grad, "rand")


@factory
def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Standard normal numbers.

    Example:
        >>> import squall as sq
        >>> sq.manual_seed(0) and abs(sq.randn(1000).mean().item()) < 0.2
        True
    """
    creation.check_device(device, "randn")
    made = _numbers(ops.normal, shape_argument(size, "randn"), dtype, generator, "randn")
    return creation.require_grad(made, requires_grad, "randn")


@factory
def rand_like(input: Any, *, dtype: Any = None, generator: Generator | None = None, device: Any = None,
              requires_grad: bool = False, layout: Any = None, memory_format: Any = None) -> Any:
    """Uniform numbers, shaped and typed like another Tensor."""
    check_format(memory_format, layout, "rand_like")
    return rand(input.node.shape, dtype=dtype or input.node.dtype, generator=generator, device=device,
                requires_grad=requires_grad)


@factory
def randn_like(input: Any, *, dtype: Any = None, generator: Generator | None = None, device: Any = None,
               requires_grad: bool = False, layout: Any = None, memory_format: Any = None) -> Any:
    """Standard normal numbers, shaped and typed like another Tensor."""
    check_format(memory_format, layout, "randn_like")
    return randn(input.node.shape, dtype=dtype or input.node.dtype, generator=generator, device=device,
                 requires_grad=requires_grad)


@factory
def randint_like(input: Any, low: int, high: Any = None, *, dtype: Any = None, generator: Generator | None = None,
                 device: Any = None, requires_grad: bool = False, layout: Any = None, memory_format: Any = None) -> Any:
    """Integers from low (0 when left out) below high, shaped and typed like another Tensor."""
    check_format(memory_format, layout, "randint_like")
    low, high = (0, low) if high is None else (low, high)
    out = randint(low, high, tuple(input.node.shape), dtype=dtype or input.node.dtype, generator=generator,
                  device=device)
    return creation.require_grad(out, requires_grad, "randint_like")


@factory
def randint(low: int = 0, high: Any = None, size: Any = None, *, generator: Generator | None = None, dtype: Any = None,
            device: Any = None, requires_grad: bool = False, layout: Any = None) -> Any:
    """Integers from low (0 when left out) below high."""
    if size is None:
        low, high, size = 0, low, high
    if high is None or size is None:
        raise TypeError("randint(): arguments 'high' and 'size' are required")
    creation.check_device(device, "randint")
    if dtype is not None and as_dtype(dtype).is_float8:
        raise DtypeError(f"randint: not implemented for {as_dtype(dtype)}, which is a type to store values in; draw "
                         "int64 and cast them with .to()")
    if high <= low:
        raise ValueError(f"randint: low {low} must be below high {high}")
    fraction = draw(ops.uniform, tuple(size), as_dtype("float64"), generator, 2)
    values = cast((fraction * (high - low)).floor() + low, int64 if dtype is None else as_dtype(dtype))
    return creation.require_grad(values, requires_grad, "randint")


@factory
def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None,
             requires_grad: bool = False) -> Any:
    """The numbers 0 to n - 1 in random order."""
    creation.check_device(device, "randperm")
    keys = draw(ops.uniform, (n,), as_dtype("float64"), generator, 2)
    values = cast(keys.argsort(0), int64 if dtype is None else as_dtype(dtype))
    return creation.require_grad(values, requires_grad, "randperm")


def bernoulli(input: Any, p: float | None = None, *, generator: Generator | None = None, out: Any = None) -> Any:
    """1 with the probability each element gives, or `p` gives for all, else 0.

    Raises:
        ArgumentError: for a p outside of [0, 1].
    """
    refuse_float8("bernoulli", input.node.type)
    if p is not None:
        if not 0 <= p <= 1:
            raise ArgumentError(f"bernoulli: argument 'p' must be between 0 and 1, got {p}")
        drawn = draw(ops.uniform, tuple(input.node.shape), as_dtype("float32"), generator)
        return into(out, cast(drawn < p, input.node.dtype), "bernoulli")
    if out is not None:
        return into(out, bernoulli(input.detach(), generator=generator), "bernoulli")
    node = input.node
    uniform = draw(ops.uniform, tuple(node.shape), as_dtype("float32"), generator)
    drawn = cast(record(ops.lt, (uniform, cast(input.detach(), as_dtype("float32"))), ()), node.dtype)
    return drawn if input.edge is None else copy_(conversion_clone(input), drawn)


def _check_multinomial(input: Any, num_samples: int, replacement: bool) -> None:
    """Errors unless `input` holds weights of at least `num_samples` categories; values count outside of traces."""
    shape = tuple(input.node.shape)
    if len(shape) not in (1, 2) or num_samples < 1:
        raise ArgumentError("multinomial: argument 'input' must have 1 or 2 dimensions and 'num_samples' be positive, "
                            f"got shape {list(shape)} and num_samples={num_samples}")
    if input.node.dtype.category != 2:
        raise DtypeError(f"multinomial: argument 'input' must have a floating dtype, got {input.node.dtype}")
    if shape[-1] > MOST_CATEGORIES:
        raise ArgumentError(f"multinomial: argument 'input' must have at most 2**24 categories, got shape "
                            f"{list(shape)}")
    if not replacement and num_samples > shape[-1]:
        raise ArgumentError(f"multinomial: cannot draw num_samples={num_samples} of {shape[-1]} categories without "
                            "replacement")
    if local.state.trace is not None:
        return
    x = input.detach()
    row = x.sum(-1)
    if not bool(((x >= 0).all(-1) & (row > 0) & row.isfinite()).all()):
        raise ArgumentError("multinomial: argument 'input' must hold finite weights of at least 0 with a positive sum "
                            f"in every row; of shape {list(shape)}, it has inf, nan, a negative one or a row of zeros")


def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Generator | None = None,
                out: Any = None) -> Any:
    """Positions drawn with the probabilities of each row (Gumbel's trick without replacement, inverse sampling
    with).

    Args:
        input: weights, at least 0, of shape (categories,) or (rows, categories); rows need not sum to 1. num_samples:
            how many positions of each row. replacement: whether one may be drawn again. generator: where the numbers
            come from. out: int64, where to write the positions.

    Raises:
        ArgumentError: for other shapes, more samples than categories without replacement, and, outside of compiled
        functions, weights that are negative, not finite or all 0. DtypeError: for integers, or another dtype of `out`.
    """
    _check_multinomial(input, num_samples, replacement)
    weights = input if len(input.node.shape) == 2 else input.unsqueeze(0)
    rows, columns = weights.node.shape
    if replacement:
        total = cast(weights.detach(), as_dtype("float64")).cumsum(1)
        point = draw(ops.uniform, (rows, num_samples), as_dtype("float64"), generator, 2) * total[:, -1:]
        made = (point.unsqueeze(2) >= total.unsqueeze(1)).sum(2).clamp(max=columns - 1)
    else:
        uniform = draw(ops.uniform, (rows, columns), as_dtype("float64"), generator, 2)
        keys = cast(weights.detach(), as_dtype("float64")).log() - (-(uniform + 1e-300).log()).log()
        made = keys.topk(num_samples, 1).indices
    return into(out, made if len(input.node.shape) == 2 else made.squeeze(0), "multinomial", exact=True)


@factory
def normal(mean: Any, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, dtype: Any = None,
           device: Any = None, requires_grad: bool = False, layout: Any = None, out: Any = None) -> Any:
    """Normal numbers of given mean and standard deviation (numbers with a size, or Tensors)."""
    if size is None:
        if hasattr(mean, "node") and hasattr(std, "node"):
            shape = broadcast(tuple(mean.node.shape), tuple(std.node.shape), "normal")
        else:
            shape = tuple((mean if hasattr(mean, "node") else std).node.shape)
        like = mean if hasattr(mean, "node") else std
        return into(out, randn(shape, generator=generator, dtype=like.node.dtype) * std + mean, "normal")
    made = randn(*size, generator=generator, dtype=dtype, device=device) * std + mean
    return into(out, creation.require_grad(made, requires_grad, "normal"), "normal")


def fill_random(target: Any, values: Any) -> Any:
    """Write drawn values in place; history of the target ends there."""
    refuse_float8("random numbers in place", target.node.type)
    return copy_(target, values)


