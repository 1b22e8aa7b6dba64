"""A step length that satisfies the strong Wolfe conditions: bracketing, then zooming in by cubic interpolation.

After Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6, with the safeguards that PyTorch has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A step length with the loss there, the gradient as a vector, and the slope along the direction."""

    step: float
    loss: float
    gradient: Any
    slope: float


def cubic_minimum(a: Point, b: Point, low: float | None = None, high: float | None = None) -> float:
    """Where the cubic through two points with their slopes is lowest, limited to [low, high].

    Example:
        >>> cubic_minimum(Point(0.0, 1.0, None, -2.0), Point(2.0, 1.0, None, 2.0))
        1.0
    """
    if low is None or high is None:
        low, high = min(a.step, b.step), max(a.step, b.step)
    if a.step > b.step:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step)
    square = d1 * d1 - a.slope * b.slope
    if square < 0:
        return (low + high) / 2.0
    d2 = square**0.5
    place = b.step - (b.step - a.step) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return min(max(place, low), high)


def strong_wolfe(
    evaluate: Callable[[float], Point], start: Point, step: float, size: float, *, c1: float = 1e-4,
    c2: float = 0.9, tolerance: float = 1e-9, most: int = 25,
) -> tuple[Point, int]:
    """A point along a direction that lies low enough and is flat enough.

    Args:
        evaluate: gives the Point of a step. start: the Point of step 0. step: tried first. size: the largest element of
            the direction. c1, c2: of the two conditions. tolerance: brackets that move less than this end the search.
            most: evaluations.

    Returns:
        The point, and how many evaluations it took.
    """
    before, point, count = start, evaluate(step), 1
    tried, bracket, found = 0, [start, point], False
    while tried < most:
        if point.loss > start.loss + c1 * point.step * start.slope or (tried > 1 and point.loss >= before.loss):
            bracket = [before, point]
            break
        if abs(point.slope) <= -c2 * start.slope:
            return point, count
        if point.slope >= 0:
            bracket = [before, point]
            break
        low, high = point.step + 0.01 * (point.step - before.step), point.step * 10
        before, point = point, evaluate(cubic_minimum(before, point, low, high))
        count, tried = count + 1, tried + 1
    else:
        bracket = [start, point]
    stuck = False
    while not found and tried < most:
        ends = bracket[0].step, bracket[1].step
        if abs(ends[1] - ends[0]) * size < tolerance:
            break
        step, stuck = _inside(cubic_minimum(bracket[0], bracket[1]), min(ends), max(ends), stuck)
        point, count, tried = evaluate(step), count + 1, tried + 1
        low = 0 if bracket[0].loss <= bracket[1].loss else 1
        if point.loss > start.loss + c1 * point.step * start.slope or point.loss >= bracket[low].loss:
            bracket[1 - low] = point
            continue
        found = abs(point.slope) <= -c2 * start.slope
        if not found and point.slope * (bracket[1 - low].step - bracket[low].step) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = point
    return min(bracket, key=lambda p: p.loss), count


def _inside(step: float, low: float, high: float, stuck: bool) -> tuple[float, bool]:
    """A trial that is not too close to an end of the bracket twice; and whether this one was close."""
    margin = 0.1 * (high - low)
    if min(high - step, step - low) >= margin:
        return step, False
    if stuck or step >= high or step <= low:
        return (high - margin if abs(step - high) < abs(step - low) else low + margin), False
    return step, True
