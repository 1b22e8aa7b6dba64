"""Special functions where formulas lose digits."""

from __future__ import annotations

import math

import numpy as np
import pytest

import squall as sq

MANY = 20000


@pytest.mark.parametrize("order", [1, 2, 3])
def test_polygamma_beside_its_poles(order: int) -> None:
    beside = np.array([1e-3, -1e-3, 3e-4, 2e-3, -2e-3, 0.01, 0.4], np.float32)
    x = np.concatenate([beside + np.float32(pole) for pole in (0, -1, -2, -3, -7)])
    wide = x.astype(np.float64)
    steps = wide[:, None] + np.arange(MANY)
    end = wide + MANY  # by the series, its tail as an integral with the first correction
    total = (steps ** -(order + 1)).sum(1) + end**-order / order + end ** -(order + 1) / 2
    wanted = (-1) ** (order + 1) * math.factorial(order) * total
    np.testing.assert_allclose(sq.special.polygamma(order, sq.tensor(x)).numpy(), wanted, rtol=2e-6)
    np.testing.assert_allclose(sq.special.polygamma(order, sq.tensor(wide)).numpy(), wanted, rtol=1e-9)
