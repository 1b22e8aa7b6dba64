"""Recurrent layers as functions, PyTorch's `torch.lstm`, `gru`, `rnn_tanh`, `rnn_relu` and their cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import squall as sq
from squall.base.errors import ArgumentError, ShapeError
from squall.nn.recurrence import Weights, cell, gru_step, lstm_step, run_layers, simple_step
from squall.nn.utils.rnn import PackedSequence, pack, unpack


def _weights(function: str, params: Any, biased: bool, layers: int, directions: int, projected: bool) -> list:
    """The flat list of parameters by layer and direction."""
    each = 2 + 2 * bool(biased) + projected
    if len(params) != each * layers * directions:
        raise ArgumentError(
            f"{function}: expected {each} parameters for each of {layers} layers and {directions} directions, got "
            f"{len(params)}"
        )
    rows = [params[i : i + each] for i in range(0, len(params), each)]
    made = []
    for row in rows:
        first, second = row[2:4] if biased else (None, None)
        made.append(Weights(row[0], row[1], first, second, row[-1] if projected else None))
    return [made[i : i + directions] for i in range(0, len(made), directions)]


def _layers(function: str, gates: int, step: Callable, states: int, args: tuple, keywords: dict) -> tuple:
    """What the four functions share: both of PyTorch's ways to call them.

    Args:
        gates, states: how many there are. step: of weights and hidden size. args: (input, hx, params, has_biases,
            num_layers, dropout, train, bidirectional, batch_first), or for packed sequences (data, batch_sizes, hx,
            params, has_biases, num_layers, dropout, train, bidirectional).
    """
    packed = "batch_sizes" in keywords or "data" in keywords or (len(args) > 2 and isinstance(args[1], sq.Tensor)
                                                                and not isinstance(args[2], (bool, list))
                                                                and args[1].dtype is sq.int64)
    common = ("hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional")
    names = ("data", "batch_sizes", *common) if packed else ("input", *common, "batch_first")
    if len(args) > len(names) or set(keywords) - set(names):
        raise TypeError(f"{function}() takes {', '.join(names)}")
    given = dict(zip(names, args, strict=False)) | keywords
    missing = [name for name in names if name not in given]
    if missing:
        raise TypeError(f"{function}() misses {', '.join(missing)}")
    hx: Any = tuple(given["hx"]) if states > 1 else (given["hx"],)
    directions = 2 if given["bidirectional"] else 1
    hidden = (hx[1] if states > 1 else hx[0]).shape[-1]
    weights = _weights(function, list(given["params"]), given["has_biases"], given["num_layers"], directions,
                       states > 1 and hx[0].shape[-1] != hidden)
    lengths, whole = None, None
    if packed:
        whole = PackedSequence(given["data"], given["batch_sizes"])
        input, counts = unpack(whole)
        lengths = sq.tensor(counts)
    else:
        input = given["input"].transpose(0, 1) if given["batch_first"] else given["input"]
    for state in hx:
        if state.ndim != 3 or state.shape[0] != given["num_layers"] * directions or state.shape[1] != input.shape[1]:
            raise ShapeError(
                f"{function}: argument 'hx' must have shape ({given['num_layers'] * directions}, {input.shape[1]}, "
                f"hidden), got {list(state.shape)}"
            )
    output, last = run_layers(lambda w: step(w, hidden), gates, weights, input, hx, given["dropout"], given["train"],
                              lengths)
    if whole is not None:
        output = pack(output, whole).data
    elif given["batch_first"]:
        output = output.transpose(0, 1)
    return (output, *last)


def lstm(*args: Any, **keywords: Any) -> tuple:
    """Layers of LSTM over a sequence: what nn.LSTM runs, with the parameters as arguments.

    Args:
        args, keywords: (input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first) with
            input (time, batch, features), or batch first; or (data, batch_sizes, hx, params, has_biases, num_layers,
            dropout, train, bidirectional) of a packed sequence. hx: (h, c), of shape (layers * directions, batch,
            hidden) each. params: weight_ih, weight_hh, bias_ih, bias_hh, and weight_hr with projections, of each
            direction of each layer.

    Returns:
        tuple: (outputs, last h, last c).

    Raises:
        ArgumentError: for another number of parameters. ShapeError: for states of another shape.
    """
    return _layers("lstm", 4, lstm_step, 2, args, keywords)


def gru(*args: Any, **keywords: Any) -> tuple:
    """Layers of gated recurrent units over a sequence: what nn.GRU runs, with the parameters as arguments.

    Args:
        args, keywords: as for `lstm`, with hx one Tensor.

    Returns:
        tuple: (outputs, last h).

    Raises:
        ArgumentError: for another number of parameters. ShapeError: for a state of another shape.
    """
    return _layers("gru", 3, gru_step, 1, args, keywords)


def rnn_tanh(*args: Any, **keywords: Any) -> tuple:
    """Layers of tanh(W_ih x + b_ih + W_hh h + b_hh) over a sequence, with the parameters as arguments.

    Args:
        args, keywords: as for `lstm`, with hx one Tensor.

    Returns:
        tuple: (outputs, last h).

    Raises:
        ArgumentError: for another number of parameters. ShapeError: for a state of another shape.
    """
    return _layers("rnn_tanh", 1, partial(simple_step, sq.tanh), 1, args, keywords)


def rnn_relu(*args: Any, **keywords: Any) -> tuple:
    """Layers of relu(W_ih x + b_ih + W_hh h + b_hh) over a sequence, with the parameters as arguments.

    Args:
        args, keywords: as for `lstm`, with hx one Tensor.

    Returns:
        tuple: (outputs, last h).

    Raises:
        ArgumentError: for another number of parameters. ShapeError: for a state of another shape.
    """
    return _layers("rnn_relu", 1, partial(simple_step, sq.relu), 1, args, keywords)


# ---------------------------------------------------------------- one step
def _one(function: str, gates: int, step: Callable, input: Any, state: tuple, weights: tuple) -> tuple:
    given = Weights(*weights)
    if input.ndim != 2 or input.shape[1] != given.ih.shape[1]:
        raise ShapeError(
            f"{function}: argument 'input' must have shape (batch, {given.ih.shape[1]}), got {list(input.shape)}"
        )
    wanted = [input.shape[0], given.ih.shape[0] // gates]
    for h in state:
        if list(h.shape) != wanted:
            raise ShapeError(f"{function}: argument 'hx' must have shape {wanted}, got {list(h.shape)}")
    return cell(gates, step, input, state, given)


def lstm_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> tuple:
    """One step of an LSTM.

    Args:
        input: (batch, features). hx: (h, c), of shape (batch, hidden) each. w_ih, w_hh: (4 * hidden, features) and
            (4 * hidden, hidden). b_ih, b_hh: (4 * hidden,) or None.

    Returns:
        tuple: (h, c).

    Raises:
        ShapeError: for other shapes.
    """
    return _one("lstm_cell", 4, lstm_step, input, tuple(hx), (w_ih, w_hh, b_ih, b_hh))


def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One step of gated recurrent units; arguments as for `lstm_cell`, with hx and the result one Tensor.

    Raises:
        ShapeError: for other shapes.
    """
    return _one("gru_cell", 3, gru_step, input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_tanh_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """tanh(w_ih x + b_ih + w_hh h + b_hh); arguments as for `lstm_cell`, with hx and the result one Tensor.

    Raises:
        ShapeError: for other shapes.
    """
    return _one("rnn_tanh_cell", 1, partial(simple_step, sq.tanh), input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_relu_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """relu(w_ih x + b_ih + w_hh h + b_hh); arguments as for `lstm_cell`, with hx and the result one Tensor.

    Raises:
        ShapeError: for other shapes.
    """
    return _one("rnn_relu_cell", 1, partial(simple_step, sq.relu), input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]
