"""Functions of Tensors that layers are made of, under PyTorch's names: `import squall.nn.functional as F`."""

from squall.nn.functional.activation import (
    elu, gelu, hardsigmoid, hardswish, hardtanh, leaky_relu, log_softmax, logsigmoid, mish, relu, relu6, relu_, selu, sigmoid,
    silu, softmax, softplus, softsign, tanh,
)
from squall.nn.functional.attention import scaled_dot_product_attention
from squall.nn.functional.convolution import conv1d, conv2d, conv3d
from squall.nn.functional.dropout import dropout
from squall.nn.functional.linear import embedding, linear, one_hot
from squall.nn.functional.loss import (
    binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, huber_loss, kl_div, l1_loss, mse_loss, nll_loss,
    smooth_l1_loss,
)
from squall.nn.functional.normalization import batch_norm, group_norm, layer_norm, normalize, rms_norm
from squall.nn.functional.padding import pad
from squall.nn.functional.pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d

__all__ = [
    "adaptive_avg_pool2d", "avg_pool2d", "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits", "conv1d",
    "conv2d", "conv3d", "cross_entropy", "dropout", "elu", "embedding", "gelu", "group_norm", "hardsigmoid", "hardswish",
    "hardtanh", "huber_loss", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear", "log_softmax", "logsigmoid",
    "max_pool2d", "mish", "mse_loss", "nll_loss", "normalize", "one_hot", "pad", "relu", "relu6", "relu_", "rms_norm",
    "scaled_dot_product_attention", "selu", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softplus", "softsign", "tanh",
]
