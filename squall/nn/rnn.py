"""Recurrent layers: RNN, LSTM, GRU, with PyTorch's parameters and results.

Each direction of each layer is one `sq.scan`: compiled once whatever the length, with one kernel call or two a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import init
from squall.nn.module import Module
from squall.nn.parameter import Parameter
from squall.nn.recurrence import Weights, gru_step, lstm_step, run_layers, simple_step
from squall.nn.utils.rnn import PackedSequence, pack, unpack


class RNNBase(Module):
    """What RNN, LSTM and GRU share; `gates` and `states` say how many of each there are.

    Attributes:
        weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l0_reverse, ...: as in PyTorch; all begin
        uniform in
            +-1 / sqrt(hidden_size).
    """

    gates, states = 1, 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if hidden_size <= 0 or num_layers <= 0:
            raise ValueError(
                f"{name}: hidden_size={hidden_size} and num_layers={num_layers} must be greater than zero"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout={dropout} must be a probability, between 0 and 1")
        if proj_size < 0 or proj_size >= hidden_size:
            raise ValueError(f"{name}: proj_size={proj_size} must be from 0 to less than hidden_size={hidden_size}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        rows, out = self.gates * hidden_size, proj_size or hidden_size
        for layer in range(num_layers):
            inside = input_size if layer == 0 else out * self._directions
            for suffix in self._suffixes(layer):
                shapes = {"weight_ih": (rows, inside), "weight_hh": (rows, out)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for key, shape in shapes.items():
                    setattr(self, key + suffix, Parameter(sq.empty(*shape, device=device, dtype=dtype)))
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: self._directions]

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of each direction of each layer."""
        return [
            [w for w in self._weights(s) if w is not None]
            for n in range(self.num_layers)
            for s in self._suffixes(n)
        ]

    def _weights(self, suffix: str) -> Weights:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return Weights(*(getattr(self, name + suffix, None) for name in names))

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = self.hidden_size**-0.5
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: parameters need no common memory here."""

    def _step(self, weights: Weights) -> tuple[Any, Callable]:
        raise TypeError(f"{type(self).__name__} has no step; use RNN, LSTM or GRU")

    # ------------------------------------------------------------ forward
    def forward(self, input: Any, hx: Any = None) -> tuple:
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        name = type(self).__name__
        if input.ndim not in (2, 3):
            raise ShapeError(f"{name}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        single = input.ndim == 2
        if single:
            input, hx = input.unsqueeze(1), self._each(hx, lambda h: h.unsqueeze(1))
        elif self.batch_first:
            input = input.transpose(0, 1)
        output, last = self._run(input, hx)
        if single:
            output, last = output.squeeze(1), self._each(last, lambda h: h.squeeze(1))
        elif self.batch_first:
            output = output.transpose(0, 1)
        return output, last

    def _each(self, hx: Any, change: Callable) -> Any:
        if hx is None:
            return None
        return tuple(map(change, hx)) if self.states > 1 else change(hx)

    def _packed(self, input: PackedSequence, hx: Any) -> tuple:
        padded, lengths = unpack(input)
        if hx is not None and input.sorted_indices is not None:
            hx = self._each(hx, lambda h: h.index_select(1, input.sorted_indices))
        output, last = self._run(padded, hx, sq.tensor(lengths))
        if input.unsorted_indices is not None:
            last = self._each(last, lambda h: h.index_select(1, input.unsorted_indices))
        return pack(output, input), last

    def _run(self, input: Any, hx: Any, lengths: Any = None) -> tuple:
        """Outputs (time, batch, out) and last states of shape (layers * directions, batch, hidden)."""
        self._check_input(input)
        weights = [[self._weights(s) for s in self._suffixes(layer)] for layer in range(self.num_layers)]
        starts = self._starts(input, hx)
        output, states = run_layers(
            self._step, self.gates, weights, input, starts, self.dropout, self.training, lengths
        )
        return output, states if self.states > 1 else states[0]

    def _check_input(self, input: Any) -> None:
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{input.shape[-1]}"
            )

    def _starts(self, input: Any, hx: Any) -> tuple:
        """The first states, checked: (layers * directions, batch, hidden) each."""
        name, batch, count = type(self).__name__, input.shape[1], self.num_layers * self._directions
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)[: self.states]
        if hx is None:
            return tuple(sq.zeros(count, batch, n, dtype=input.dtype, device=input.device) for n in sizes)
        given = tuple(hx) if self.states > 1 else (hx,)
        for which, (state, n) in enumerate(zip(given, sizes, strict=True)):
            wanted = (count, batch, n)
            if tuple(state.shape) != wanted:
                raise ShapeError(f"{name}: Expected hidden[{which}] size {wanted}, got {list(state.shape)}")
        return given

    def extra_repr(self) -> str:
        """The sizes, and what is not as by default."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        parts += [f"{k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v]
        return ", ".join(parts)


class RNN(RNNBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh) over a sequence.

    Args:
        input_size, hidden_size: features of the input and of the state. num_layers: each reads the outputs of the one
            before. nonlinearity: "tanh" or "relu". bias: whether something is added. batch_first: input and output are
            (batch, time, features) rather than (time, batch, features). dropout: on the outputs of all layers but the
            last. bidirectional: a second direction from the end; outputs are put together.

    Returns:
        (output of the last layer at all steps, last state of shape (num_layers * directions, batch, hidden)); called
        with the input, of shape (time, batch, features) or (time, features) or packed, and a first state (zeros).

    Raises:
        ShapeError: when input or state have another shape.

    Example:
        >>> import squall as sq
        >>> output, last = sq.nn.RNN(3, 4)(sq.zeros(5, 2, 3))
        >>> output.shape, last.shape
        (squall.Size([5, 2, 4]), squall.Size([1, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )
        self.nonlinearity = nonlinearity

    def _step(self, weights: Weights) -> tuple[Any, Callable]:
        return simple_step(sq.tanh if self.nonlinearity == "tanh" else sq.relu, weights, self.hidden_size)


class LSTM(RNNBase):
    """Long short-term memory over a sequence: state (h, c).

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as for `RNN`. proj_size: when
        not
            0, h is projected to this size by weight_hr.

    Returns:
        (output, (last h, last c)); called with the input and, if not zeros, (first h, first c).

    Raises:
        ShapeError: when input or state have another shape.

    Example:
        >>> import squall as sq
        >>> output, (h, c) = sq.nn.LSTM(3, 4, batch_first=True)(sq.zeros(2, 5, 3))
        >>> output.shape, c.shape
        (squall.Size([2, 5, 4]), squall.Size([1, 2, 4]))
    """

    gates, states = 4, 2

    def _step(self, weights: Weights) -> tuple[Any, Callable]:
        return lstm_step(weights, self.hidden_size)


class GRU(RNNBase):
    """Gated recurrent units over a sequence.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as for `RNN`.

    Returns:
        (output, last state); called with the input and, if not zeros, the first state.

    Raises:
        ShapeError: when input or state have another shape.

    Example:
        >>> import squall as sq
        >>> output, last = sq.nn.GRU(3, 4, bidirectional=True)(sq.zeros(5, 2, 3))
        >>> output.shape, last.shape
        (squall.Size([5, 2, 8]), squall.Size([2, 2, 4]))
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )

    def _step(self, weights: Weights) -> tuple[Any, Callable]:
        return gru_step(weights, self.hidden_size)
