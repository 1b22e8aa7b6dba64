"""Optimizers and learning-rate schedules under PyTorch's names: `from squall import optim`."""

from squall.optim import lr_scheduler
from squall.optim.adam import Adam, AdamW
from squall.optim.optimizer import Optimizer
from squall.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
