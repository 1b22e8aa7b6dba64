"""Comparing gradients: ours against float64, no worse than twice PyTorch's own error in float32."""

import numpy as np


def assert_as_accurate(ours, theirs, exact):
    """Root mean square errors of gradients by parameter name, and of all together.

    What vanishes in exact arithmetic (a bias before normalisation) is compared on the scale of rounding.
    """
    assert set(ours) == set(exact)
    total = {"ours": 0.0, "theirs": 0.0}
    usual = np.median([np.sqrt((true**2).mean()) for true in exact.values()])
    for key, true in exact.items():
        size = np.sqrt((true**2).mean())
        error = np.sqrt(((ours[key] - true) ** 2).mean())
        allowed = np.sqrt(((theirs[key] - true) ** 2).mean())
        floor = 1e-7 * max(size, usual) + 1e-9
        times = 2 if size > 1e-6 * usual else 4  # what vanishes is nothing but the order of sums
        assert error <= times * allowed + floor, f"{key}: {error:.2e}, PyTorch {allowed:.2e}, size {size:.2e}"
        total["ours"] += error**2
        total["theirs"] += allowed**2
    assert total["ours"] <= 4 * total["theirs"]
