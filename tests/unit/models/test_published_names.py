"""Parameter names and shapes are those under which the published weights are stored, in their order.

The digests are of torchvision's and Hugging Face's own models: sha256 over lines "name shape", its first 16 digits.
"""

import hashlib

import pytest

from squall import models

PUBLISHED = {
    "resnet18": (models.resnet18, 122, "84fb10d9c6905a1c"),
    "resnet34": (models.resnet34, 218, "28f9096d51307499"),
    "resnet50": (models.resnet50, 320, "d7e4f8bb0a536344"),
    "resnet101": (models.resnet101, 626, "02c0f34f4842751f"),
    "resnet152": (models.resnet152, 932, "685c66205bc823aa"),
    "vgg11": (models.vgg11, 22, "cb3dc23f2a13e182"),
    "vgg13": (models.vgg13, 26, "67c1dc8b57fde74b"),
    "vgg16": (models.vgg16, 32, "35c4623e0cd4a39d"),
    "vgg16_bn": (models.vgg16_bn, 97, "347371586a8ea365"),
    "vgg19": (models.vgg19, 38, "4723255af8f6c485"),
    "mobilenet_v2": (models.MobileNetV2, 314, "37bbbce8932fd0c4"),
    "mobilenet_v3_small": (lambda: models.MobileNetV3("small"), 244, "5f0efaf3ff4ac979"),
    "mobilenet_v3_large": (lambda: models.MobileNetV3("large"), 312, "efe98e40831bae95"),
    "vit_b_16": (models.vit_b_16, 152, "b124b34d9346c58c"),
    "vit_l_16": (models.vit_l_16, 296, "0fd5127fe79be5b3"),
    "bert": (lambda: models.BERT(models.BERTConfig()), 199, "a5fe6ceac761773c"),
    "gpt2": (models.gpt2, 149, "6e8cf3a578f3d626"),
}


def digest(state):
    lines = [f"{key} {tuple(value.shape)}" for key, value in state.items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_shapes_are_the_published_ones(name):
    make, count, expected = PUBLISHED[name]
    state = make().state_dict()
    assert len(state) == count and digest(state) == expected
