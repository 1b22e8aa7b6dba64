"""`sq.func`: function transforms, under PyTorch's names (`torch.func`)."""

from squall.frontend.batching import vmap
from squall.frontend.functional import functional_call
from squall.frontend.jacobians import hessian, jacfwd, jacrev
from squall.frontend.transforms import grad, grad_and_value, jvp, value_and_grad, vjp

__all__ = ["functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "value_and_grad", "vjp",
           "vmap"]
