"""Derivatives of functions (`torch.autograd.functional`); see `frontend/functional_derivatives.py` and `sq.func`."""

from squall.frontend.functional_derivatives import hessian, hvp, jacobian, jvp, vhp, vjp

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
