"""Series of polynomials under the names of `numpy.polynomial`: `Polynomial`, `Chebyshev` and so on, and their modules.

Coefficients run from the lowest up. Values, products, derivatives and fits record and differentiate as all else does;
where coefficients are zero is looked at, but inside compiled functions.
"""

from __future__ import annotations

import types
from typing import Any

from squall.numpy.polynomial import series as _series
from squall.numpy.polynomial.classes import Series, class_of, map_domain, map_parameters
from squall.numpy.polynomial.families import MODULES as _MODULES

polynomial, chebyshev, legendre, hermite, hermite_e, laguerre = _MODULES.values()
Polynomial, Chebyshev, Legendre, Hermite, HermiteE, Laguerre = (class_of(m.basis) for m in _MODULES.values())
polyutils: Any = types.ModuleType("squall.numpy.polynomial.polyutils", "What the families share.")
polyutils.mapparms, polyutils.mapdomain = map_parameters, map_domain
polyutils.trimcoef, polyutils.trimseq = _series.trim_coefficients, _series.as_series

__all__ = [
    "Chebyshev", "Hermite", "HermiteE", "Laguerre", "Legendre", "Polynomial", "Series", "chebyshev", "hermite",
    "hermite_e", "laguerre", "legendre", "polynomial", "polyutils",
]  # fmt: skip
