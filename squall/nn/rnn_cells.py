"""One step of a recurrent layer: RNNCell, LSTMCell, GRUCell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import init
from squall.nn.module import Module
from squall.nn.parameter import Parameter
from squall.nn.recurrence import Weights, cell, gru_step, lstm_step, simple_step


class RNNCellBase(Module):
    """What the cells share.

    Attributes:
        weight_ih, weight_hh, bias_ih, bias_hh: as in PyTorch; all begin uniform in +-1 / sqrt(hidden_size).
    """

    gates, states = 1, 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(sq.empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(sq.empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(sq.empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = self.hidden_size**-0.5 if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, weights: Weights) -> tuple[Any, Callable]:
        raise TypeError(f"{type(self).__name__} has no step; use RNNCell, LSTMCell or GRUCell")

    def forward(self, input: Any, hx: Any = None) -> Any:
        name = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: Expected input to be 1D or 2D and to end in {self.input_size}, got {list(input.shape)}"
            )
        single = input.ndim == 1
        rows = input.unsqueeze(0) if single else input
        wanted = (rows.shape[0], self.hidden_size)
        if hx is None:
            state = tuple(sq.zeros(*wanted, dtype=input.dtype, device=input.device) for _ in range(self.states))
        else:
            given = tuple(hx) if self.states > 1 else (hx,)
            state = tuple(h.unsqueeze(0) if h.ndim == 1 else h for h in given)
        for h in state:
            if tuple(h.shape) != wanted:
                raise ShapeError(f"{name}: Expected hidden of shape {list(wanted)}, got {list(h.shape)}")
        weights = Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        after = cell(self.gates, lambda given, _: self._step(given), rows, state, weights)
        after = tuple(h.squeeze(0) for h in after) if single else after
        return after if self.states > 1 else after[0]

    def extra_repr(self) -> str:
        """The sizes, and what is not as by default."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """tanh(W_ih x + b_ih + W_hh h + b_hh).

    Args:
        input_size, hidden_size: features of the input and of the state. bias: whether something is added.
        nonlinearity:
            "tanh" or "relu".

    Example:
        >>> import squall as sq
        >>> sq.nn.RNNCell(3, 4)(sq.zeros(2, 3)).shape
        squall.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def _step(self, weights: Weights) -> tuple[Any, Callable]:
        return simple_step(sq.tanh if self.nonlinearity == "tanh" else sq.relu, weights, self.hidden_size)


class LSTMCell(RNNCellBase):
    """One step of an LSTM: takes an input and (h, c), gives (h', c').

    Args:
        input_size, hidden_size, bias: as for `RNNCell`.

    Example:
        >>> import squall as sq
        >>> h, c = sq.nn.LSTMCell(3, 4)(sq.zeros(2, 3))
        >>> h.shape
        squall.Size([2, 4])
    """

    gates, states = 4, 2

    def _step(self, weights: Weights) -> tuple[Any, Callable]:
        return lstm_step(weights, self.hidden_size)


class GRUCell(RNNCellBase):
    """One step of gated recurrent units.

    Args:
        input_size, hidden_size, bias: as for `RNNCell`.

    Example:
        >>> import squall as sq
        >>> sq.nn.GRUCell(3, 4)(sq.zeros(2, 3)).shape
        squall.Size([2, 4])
    """

    gates = 3

    def _step(self, weights: Weights) -> tuple[Any, Callable]:
        return gru_step(weights, self.hidden_size)
