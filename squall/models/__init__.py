"""Networks written as users write them, with the parameter names under which their published weights are stored."""

from squall.models.bert import BERT, BERTConfig
from squall.models.cnn import DigitsCNN, ResidualBlock
from squall.models.gpt import GPT, Block, CausalSelfAttention, GPTConfig, gpt2
from squall.models.language import LSTMLanguageModel
from squall.models.mlp import MLP
from squall.models.mobilenet import MobileNetV2, MobileNetV3
from squall.models.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
)
from squall.models.sentence import SentenceEmbedder, load_bert
from squall.models.unet import UNet
from squall.models.vgg import VGG, vgg11, vgg13, vgg16, vgg16_bn, vgg19
from squall.models.vit import VisionTransformer, vit_b_16, vit_b_32, vit_l_16

__all__ = [
    "BERT",
    "BERTConfig",
    "BasicBlock",
    "Block",
    "Bottleneck",
    "CausalSelfAttention",
    "DigitsCNN",
    "GPT",
    "GPTConfig",
    "LSTMLanguageModel",
    "MLP",
    "MobileNetV2",
    "MobileNetV3",
    "ResNet",
    "ResidualBlock",
    "SentenceEmbedder",
    "UNet",
    "VGG",
    "VisionTransformer",
    "gpt2",
    "load_bert",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vit_b_16",
    "vit_b_32",
    "vit_l_16",
]
