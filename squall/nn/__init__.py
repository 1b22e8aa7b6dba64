"""Layers, losses and the Module they are built from, under PyTorch's names: `from squall import nn`."""

from squall.nn import functional, init, utils
from squall.nn.activation import (
    ELU, GELU, SELU, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, LogSigmoid, LogSoftmax, Mish, ReLU, ReLU6, Sigmoid, SiLU,
    Softmax, Softplus, Softsign, Tanh,
)
from squall.nn.attention import MultiheadAttention
from squall.nn.containers import ModuleDict, ModuleList, Sequential
from squall.nn.convolution import Conv1d, Conv2d, Conv3d
from squall.nn.linear import Embedding, Flatten, Identity, Linear
from squall.nn.loss import (
    BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, KLDivLoss, L1Loss, MSELoss, NLLLoss, SmoothL1Loss,
)
from squall.nn.module import Module
from squall.nn.normalization import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RMSNorm
from squall.nn.parameter import Buffer, Parameter
from squall.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, Dropout, MaxPool2d

__all__ = [
    "AdaptiveAvgPool2d", "AvgPool2d", "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d", "Buffer", "Conv1d",
    "Conv2d", "Conv3d", "CrossEntropyLoss", "Dropout", "ELU", "Embedding", "Flatten", "GELU", "GroupNorm", "Hardsigmoid",
    "Hardswish", "Hardtanh", "HuberLoss", "Identity", "KLDivLoss", "L1Loss", "LayerNorm", "LeakyReLU", "Linear", "LogSigmoid",
    "LogSoftmax", "MSELoss", "MaxPool2d", "Mish", "Module", "ModuleDict", "ModuleList", "MultiheadAttention", "NLLLoss",
    "Parameter", "RMSNorm", "ReLU", "ReLU6", "SELU", "Sequential", "SiLU", "Sigmoid", "SmoothL1Loss", "Softmax", "Softplus",
    "Softsign", "Tanh", "functional", "init", "utils",
]
