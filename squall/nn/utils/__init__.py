"""Helpers around parameters and gradients, under PyTorch's names."""

from squall.nn.utils import averaging, parametrizations, parametrize, rnn
from squall.nn.utils.fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)
from squall.nn.utils.gradients import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from squall.nn.utils.normalized_weights import remove_weight_norm, weight_norm
from squall.nn.utils.parametrizations import spectral_norm
from squall.nn.utils.small import clip_grad_norm, remove_spectral_norm, skip_init
from squall.nn.utils.vectors import parameters_to_vector, vector_to_parameters

__all__ = [
    "averaging",
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "skip_init",
    "spectral_norm",
    "vector_to_parameters",
    "weight_norm",
]
