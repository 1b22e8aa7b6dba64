"""Connectionist temporal classification: the forward recursion over labels with blanks between them.

A state is a place in the sequence blank, label, blank, label, ..., blank. Log probabilities of the states go from one
time to the next; what is impossible is a large negative number instead of -inf, so that gradients stay numbers.
"""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.frontend.autocast import full_precision
from squall.frontend.by_values import by_values
from squall.nn.functional.core import ShapeError, check_floating, check_reduction

IMPOSSIBLE = -1e30


@full_precision
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """Minus the log probability of label sequences over all alignments with the input.

    Args:
        log_probs: shape (times, batch, classes), or (times, classes) without the batch, as log_softmax gives.
        targets: shape (batch, most labels), or the labels of all samples joined in one dimension.
        input_lengths, target_lengths: how many times and labels count, a number a sample: a Tensor or a tuple.
        blank: the class that stands for no label. reduction: "mean" (each loss over its target's length, then
            over the batch), "sum" or "none". zero_infinity: losses without any alignment become 0.

    Returns:
        A scalar, or with "none" shape (batch,).

    Raises:
        ShapeError: when sizes do not fit. The gradient is that of the value, also where the input is not
            normalised.

    Example:
        >>> import squall as sq
        >>> logs = sq.zeros(2, 1, 2).log_softmax(2)
        >>> round(sq.nn.functional.ctc_loss(logs, sq.tensor([[1]]), (2,), (1,)).item(), 4)
        0.2877
    """
    check_floating("ctc_loss", "log_probs", log_probs)
    check_reduction("ctc_loss", reduction)
    if log_probs.dim() not in (2, 3):
        raise ShapeError(
            "ctc_loss: argument 'log_probs' must have shape (times, batch, classes) or (times, classes), got "
            f"{tuple(log_probs.shape)}"
        )
    batched = log_probs.dim() == 3
    probabilities = log_probs if batched else log_probs.unsqueeze(1)
    _, batch, classes = probabilities.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"ctc_loss: blank must be in label range, got {blank} for {classes} classes")
    lengths = _lengths("input_lengths", input_lengths, batch)
    counts = _lengths("target_lengths", target_lengths, batch)
    labels = _labels(targets, counts, target_lengths, batch)
    losses = _negative_log_likelihood(probabilities, labels, lengths, counts, blank)
    if zero_infinity:
        losses = losses.masked_fill(losses == float("inf"), 0.0)
    if reduction == "none":
        return losses if batched else losses.view(())
    if reduction == "sum":
        return losses.sum()
    return (losses / counts.clamp(min=1).to(losses.dtype)).mean()


def _lengths(name: str, lengths: Any, batch: int) -> Any:
    """How many there are in each sample, as an int64 Tensor."""
    made = lengths.to(sq.int64) if isinstance(lengths, sq.Tensor) else sq.tensor(lengths, dtype=sq.int64)
    made = made.reshape(-1)
    if made.shape[0] != batch:
        raise ShapeError(f"ctc_loss: {name} has {made.shape[0]} entries, expected {batch}, the batch")
    return made


@by_values("ctc_loss")
def _labels(targets: Any, counts: Any, given: Any, batch: int) -> Any:
    """The labels as (batch, most), whatever stands behind the end of each."""
    targets = targets.to(sq.int64)
    if targets.dim() == 2:
        if targets.shape[0] != batch:
            raise ShapeError(
                f"ctc_loss: argument 'targets' of shape {tuple(targets.shape)} must begin with the batch, {batch}"
            )
        return targets
    if targets.dim() != 1:
        raise ShapeError(f"ctc_loss: 'targets' must have 1 or 2 dimensions, got shape {tuple(targets.shape)}")
    if batch == 1:
        return targets.unsqueeze(0)
    most = int(counts.max().item()) if isinstance(given, sq.Tensor) else max(given)
    starts = counts.cumsum(0) - counts
    places = (starts.unsqueeze(1) + sq.arange(max(most, 1))).clamp(max=max(targets.shape[0] - 1, 0))
    return targets[places] if targets.shape[0] else targets.new_zeros((batch, 0))


def _negative_log_likelihood(probabilities: Any, labels: Any, lengths: Any, counts: Any, blank: int) -> Any:
    """A loss for each sample, infinite where no alignment exists."""
    times, batch, _ = probabilities.shape
    states = _with_blanks(labels, counts, blank)
    emitted = probabilities.gather(2, states.unsqueeze(0).expand(times, batch, states.shape[1]))
    emitted = emitted.clamp(min=IMPOSSIBLE)
    number = sq.arange(states.shape[1])
    skips = (states != _moved(states, 2, blank)).logical_and(states != blank).logical_and(number >= 2)
    value = emitted[0].masked_fill(number >= 2, IMPOSSIBLE)
    inside = (lengths > sq.arange(times).unsqueeze(1)).unsqueeze(2)

    def step(before: Any, given: tuple) -> tuple[Any, tuple]:
        return sq.where(given[1], _step(before, given[0], skips), before), ()

    if times > 1:
        value = sq.scan(step, value, (emitted[1:], inside[1:]))[0]
    last = 2 * counts.unsqueeze(1)
    end = value.gather(1, last)
    before = value.gather(1, (last - 1).clamp(min=0)).masked_fill(last == 0, IMPOSSIBLE)
    total = sq.cat([end, before], 1).logsumexp(1)
    missing = (total <= IMPOSSIBLE / 2).logical_or((lengths == 0).logical_and(counts > 0))
    done = (lengths == 0).logical_and(counts == 0)
    return (-total).masked_fill(missing, float("inf")).masked_fill(done, 0.0)


def _step(value: Any, emitted: Any, skips: Any) -> Any:
    """The states' log probabilities one time later: stay, come from the state before, or skip a blank."""
    one = _moved(value, 1, IMPOSSIBLE)
    two = _moved(value, 2, IMPOSSIBLE).masked_fill(~skips, IMPOSSIBLE)
    most = sq.maximum(sq.maximum(value, one), two).detach()
    total = (value - most).exp() + (one - most).exp() + (two - most).exp()
    return (total.log() + most + emitted).clamp(min=IMPOSSIBLE)


def _with_blanks(labels: Any, counts: Any, blank: int) -> Any:
    """(batch, 2 * most + 1) classes: blanks between labels and around them; blanks behind the end."""
    batch, most = labels.shape
    labels = labels.masked_fill(sq.arange(most) >= counts.unsqueeze(1), blank)
    blanks = sq.full((batch, most), blank, dtype=sq.int64)
    pairs = sq.stack([blanks, labels], 2).view(batch, 2 * most)
    return sq.cat([pairs, sq.full((batch, 1), blank, dtype=sq.int64)], 1)


def _moved(value: Any, by: int, fill: Any) -> Any:
    """Rows moved to the right by a number of places."""
    batch, size = value.shape
    if size <= by:
        return value.new_full((batch, size), fill)
    return sq.cat([value.new_full((batch, by), fill), value[:, : size - by]], 1)
