"""`sq.autograd`: backward, grad, Function, gradcheck and the modes, under PyTorch's names."""

from squall.autograd import forward_ad, functional
from squall.frontend.autograd import RemovableHandle, backward
from squall.frontend.custom import Function
from squall.frontend.gradcheck import gradcheck, gradgradcheck
from squall.frontend.gradients import grad
from squall.frontend.once import once_differentiable
from squall.frontend.state import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)
from squall.frontend.variable import Variable

__all__ = [
    "Function",
    "RemovableHandle",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]
