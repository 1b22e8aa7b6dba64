"""Learning-rate schedules: they write `lr` of the groups, a number that compiled steps take as an argument."""

from squall.optim.lr_scheduler.base import LRScheduler
from squall.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from squall.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from squall.optim.lr_scheduler.cyclic import CyclicLR, OneCycleLR
from squall.optim.lr_scheduler.decay import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    ReduceLROnPlateau,
    StepLR,
)

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
