"""One direction of one recurrent layer as a scan: RNN, LSTM and GRU.

What does not wait for the state is done for all steps at once: the input's projection is one matrix product before
the scan. Gates lie one after the other, (gates, batch, hidden), so that a step reads and writes each as rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import squall as sq
from squall.frontend.autocast import lowered


class Weights(NamedTuple):
    """The parameters of one direction of one layer, in PyTorch's layout; None for those there are not."""

    ih: Any
    hh: Any
    bias_ih: Any
    bias_hh: Any
    hr: Any = None


def _gates(count: int, values: Any, bias: Any, hidden: int) -> Any:
    """(count, batch, hidden) from a product's, with a bias of all gates."""
    return values if bias is None else values + bias.view(count, 1, hidden)


def _both(weights: Weights) -> Any:
    """The sum of both biases, which only ever occur together."""
    return None if weights.bias_ih is None else weights.bias_ih + weights.bias_hh


def simple_step(activation: Callable, weights: Weights, hidden: int) -> tuple[Any, Callable]:
    """h' = activation(W_ih x + b_ih + W_hh h + b_hh): the input's bias, and the step."""
    matrix = weights.hh.view(1, hidden, hidden)

    def step(state: tuple, part: Any) -> tuple:
        made = activation(part + sq.einsum("bj,gkj->gbk", state[0], matrix))[0]
        return (made,), made

    return _both(weights), step


def lstm_step(weights: Weights, hidden: int) -> tuple[Any, Callable]:
    """Input, forget, cell and output gates over the state (h, c)."""
    matrix = weights.hh.view(4, hidden, weights.hh.shape[1])

    def step(state: tuple, part: Any) -> tuple:
        h, c = state
        i, f, g, o = (part + sq.einsum("bj,gkj->gbk", h, matrix)).unbind(0)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        if weights.hr is not None:
            h = sq.nn.functional.linear(h, weights.hr)
        return (h, c), h

    return _both(weights), step


def gru_step(weights: Weights, hidden: int) -> tuple[Any, Callable]:
    """Reset, update and new gates; the reset gate acts on W_hn h + b_hn."""
    matrix = weights.hh.view(3, hidden, hidden)

    def step(state: tuple, part: Any) -> tuple:
        (h,) = state
        r, z, n = part.unbind(0)
        r_h, z_h, n_h = _gates(3, sq.einsum("bj,gkj->gbk", h, matrix), weights.bias_hh, hidden).unbind(0)
        r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
        n = (n + r * n_h).tanh()
        h = n + z * (h - n)
        return (h,), h

    return weights.bias_ih, step


def run(
    step: Callable,
    bias: Any,
    weights: Weights,
    gates: int,
    input: Any,
    state: tuple,
    reverse: bool,
    lengths: Any = None,
) -> tuple[tuple, Any]:
    """All steps of one direction.

    Args:
        step: from `simple_step` and its like, with its `bias`. gates: how many there are. input: (time, batch,
        features).
            state: of shape (batch, hidden) each. reverse: begin with the last step. lengths: int64 of shape (batch,):
            steps behind a sequence's end leave its state as it is.

    Returns:
        tuple: (last state, outputs of shape (time, batch, hidden)).
    """
    hidden = weights.ih.shape[0] // gates
    part = sq.einsum("tbi,gki->tgbk", input, weights.ih.view(gates, hidden, weights.ih.shape[1]))
    part = part if bias is None else part + bias.view(gates, 1, hidden)
    if lengths is None:
        return sq.scan(step, state, part, reverse=reverse)
    inside = (sq.arange(input.shape[0]).unsqueeze(1) < lengths).unsqueeze(2)

    def masked(before: tuple, given: tuple) -> tuple:
        after, made = step(before, given[0])
        return tuple(sq.where(given[1], a, b) for a, b in zip(after, before, strict=True)), made

    return sq.scan(masked, state, (part, inside), reverse=reverse)


def run_layers(
    step_of: Callable,
    gates: int,
    weights: list[list[Weights]],
    input: Any,
    starts: tuple,
    dropout: float = 0.0,
    training: bool = False,
    lengths: Any = None,
) -> tuple[Any, tuple]:
    """All layers, each reading the outputs of the one before.

    Args:
        step_of: gives bias and step of `Weights`. gates: how many there are. weights: by layer and direction.
        input: (time, batch, features). starts: the first states, of shape (layers * directions, batch, hidden) each.
        dropout: on the outputs of all layers but the last when training. lengths: as for `run`.

    Returns:
        tuple: (outputs of shape (time, batch, hidden * directions), last states like `starts`).
    """
    last: list[tuple] = []
    for layer, directions in enumerate(weights):
        made = []
        for direction, given in enumerate(directions):
            state = tuple(s[len(last)] for s in starts)
            if gates != 3:  # the state of gated recurrent units keeps its dtype, as in PyTorch
                input, given, state = lowered(input)[0], Weights(*lowered(*given)), lowered(*state)
            bias, step = step_of(given)
            after, output = run(step, bias, given, gates, input, state, direction == 1, lengths)
            last.append(after)
            made.append(output)
        input = made[0] if len(made) == 1 else sq.cat(made, -1)
        if dropout and layer < len(weights) - 1:
            input = sq.nn.functional.dropout(input, dropout, training)
    return input, tuple(sq.stack([after[k] for after in last]) for k in range(len(starts)))


def cell(gates: int, step: Callable, input: Any, state: tuple, weights: Weights) -> tuple:
    """The next states of one step.

    Args:
        gates: how many there are. step: of weights and hidden size. input: (batch, features). state: (batch, hidden)
            each.
    """
    hidden = weights.ih.shape[0] // gates
    bias, run = step(weights, hidden)
    part = sq.einsum("bi,gki->gbk", input, weights.ih.view(gates, hidden, weights.ih.shape[1]))
    (bias,) = lowered(bias)
    part = part if bias is None else part + bias.view(gates, 1, hidden)
    return run(state, part)[0]
