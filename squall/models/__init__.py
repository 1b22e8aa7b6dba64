"""Networks written as users write them: a perceptron, a convolutional network for the digits, and a GPT."""

from squall.models.cnn import DigitsCNN, ResidualBlock
from squall.models.gpt import GPT, Block, CausalSelfAttention, GPTConfig
from squall.models.mlp import MLP

__all__ = ["GPT", "MLP", "Block", "CausalSelfAttention", "DigitsCNN", "GPTConfig", "ResidualBlock"]
