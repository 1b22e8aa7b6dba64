"""`sq.distributions.kl`: Kullback and Leibler's divergence, with the formulas of all pairs.

`kl_table` has the table, `kl_pairs` the formulas of one family with itself, `kl_mixed` those of two families.
"""

from squall.distributions import kl_mixed, kl_pairs  # noqa: F401  (they fill the table)
from squall.distributions.kl_table import kl_divergence, register_kl

__all__ = ["kl_divergence", "register_kl"]
