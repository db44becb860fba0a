"""Small classifiers of many shapes, and the published ones at a fraction of their width."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fcn.nets.layers import BATCH_NORM, CONV, MAX_POOL

AVERAGE_POOL = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
ADAPTIVE = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
VGG16 = (2, 2, 3, 3, 3)
RESNET50 = (3, 4, 6, 3)
RESNET101 = (3, 4, 23, 3)


def settled(net: nn.Module) -> nn.Module:
    """Return the network in evaluation mode, with random statistics in each norm, as after training."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for values in (module.running_mean, module.running_var, module.weight, module.bias):
                assert isinstance(values, Tensor)
                values.data.uniform_(0.5, 1.5, generator=generator)
    return net.eval()


def lenet(ndim: int = 2) -> nn.Sequential:
    """No padding; crops of 20 (LeCun et al. 1998, smaller)."""
    return nn.Sequential(
        CONV[ndim](1, 3, 5), nn.Tanh(), AVERAGE_POOL[ndim](2),
        CONV[ndim](3, 4, 3), nn.ReLU(), MAX_POOL[ndim](2),
        nn.Flatten(), nn.Linear(4 * 3**ndim, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 5), nn.LogSoftmax(dim=1),
    )  # fmt: skip


class FunctionalLeNet(nn.Module):
    """No padding, overlapping pools, functions instead of modules; crops of 20."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 4, 3, dilation=2)
        self.first, self.last = nn.Linear(4 * 2 * 2, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.one(x)), 3, 2)
        x = F.avg_pool2d(torch.tanh(self.two(x)), 2)
        x = F.relu(self.first(x.view(x.size(0), -1)))
        return F.softmax(self.last(F.dropout(x, training=self.training)), dim=-1)


class VGG(nn.Module):
    """Padded; `features`, `avgpool`, `classifier` as in torchvision (Simonyan & Zisserman 2015)."""

    def __init__(self, rounds: Sequence[int], width: int, pooled: int, norm: bool = False, ndim: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for level, count in enumerate(rounds):
            for _ in range(count):
                outputs = width * min(2**level, 8)
                layers += [CONV[ndim](channels, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                if norm:
                    layers.insert(-1, BATCH_NORM[ndim](outputs))
                channels = outputs
            layers.append(MAX_POOL[ndim](2))
        self.features = nn.Sequential(*layers)
        self.avgpool = ADAPTIVE[ndim](pooled)
        self.classifier = nn.Sequential(
            nn.Linear(channels * pooled**ndim, 12), nn.BatchNorm1d(12), nn.ReLU(True), nn.Dropout(), nn.Linear(12, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))  # type: ignore[no-any-return]


class AlexNet(nn.Module):
    """The table of torchvision (Krizhevsky 2014) at a sixteenth of its width; crops of 224."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 11, 4, 2), nn.ReLU(True), nn.MaxPool2d(3, 2),
            nn.Conv2d(4, 12, 5, padding=2), nn.ReLU(True), nn.MaxPool2d(3, 2),
            nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(True),
            nn.Conv2d(24, 16, 3, padding=1), nn.ReLU(True),
            nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(16 * 36, 32), nn.ReLU(True), nn.Linear(32, 7))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """A residual block with the stride in the first convolution, as published (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        middle = outputs // 4
        self.conv1, self.bn1 = nn.Conv2d(inputs, middle, 1, stride, bias=False), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = nn.Conv2d(middle, middle, 3, padding=1, bias=False), nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """Stem, `layer1` to `layer4`, `avgpool`, `fc`."""

    def __init__(self, rounds: Sequence[int], width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        channels = width
        for level, count in enumerate(rounds):
            outputs = 4 * width * 2**level
            blocks = [
                Bottleneck(outputs if i else channels, outputs, 2 if level and not i else 1) for i in range(count)
            ]
            setattr(self, f"layer{level + 1}", nn.Sequential(*blocks))
            channels = outputs
        self.levels = len(rounds)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(channels, 6)

    def trunk(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for level in range(self.levels):
            x = getattr(self, f"layer{level + 1}")(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.avgpool(self.trunk(x)), 1))  # type: ignore[no-any-return]


class Trunk(nn.Module):
    """A residual network without pooling and linear layer."""

    def __init__(self, net: ResNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net.trunk(x)


class Branches(nn.Module):
    """Parallel branches, a pool that is used twice, a mean at the end (after Szegedy et al. 2015)."""

    def __init__(self, padded: bool = True) -> None:
        super().__init__()
        p = int(padded)
        self.stem, self.pool = nn.Conv2d(3, 4, 3, 2, p), nn.MaxPool2d(3, 2, p)
        self.wide, self.narrow = nn.Conv2d(4, 4, 3, padding=p), nn.Conv2d(4, 4, 1 if padded else 3)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.stem(x / 2)))
        x = self.pool(torch.cat([self.wide(x), self.narrow(x)], 1))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


def squeezed() -> nn.Sequential:
    """A classifier without a linear layer (Iandola et al. 2016): convolution, then the mean of the map."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(4, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def regions() -> nn.Sequential:
    """No padding; the mean of 3 x 3 overlapping regions of 5 x 7 positions."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, 2), nn.Sigmoid(),
        nn.AdaptiveAvgPool2d(3), nn.Dropout(), nn.Flatten(), nn.Linear(36, 5),
    )  # fmt: skip


CLASSIFIERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "lenet": (lenet, (20, 20)),
    "lenet-1d": (lambda: lenet(1), (20,)),
    "lenet-3d": (lambda: lenet(3), (20, 20, 20)),
    "functional": (FunctionalLeNet, (20, 22)),
    "squeezed": (squeezed, (21, 30)),
    "regions": (regions, (24, 32)),
    "branches": (Branches, (32, 40)),
    "branches-unpadded": (lambda: Branches(padded=False), (40, 32)),
    "vgg": (lambda: VGG((1, 2), 3, 5, norm=True), (20, 20)),
    "vgg-pools-unevenly": (lambda: VGG((1, 1), 3, 3), (20, 28)),
    "vgg-pools-to-more": (lambda: VGG((1, 1), 3, 7), (12, 8)),
    "vgg-3d": (lambda: VGG((1, 1), 2, 2, ndim=3), (8, 8, 10)),
    "vgg16": (lambda: VGG(VGG16, 4, 7), (224, 224)),
    "alexnet": (AlexNet, (224, 224)),
    "resnet50": (lambda: ResNet(RESNET50, 4), (96, 96)),
}
UNPADDED = ("lenet", "lenet-1d", "lenet-3d", "functional", "squeezed", "regions", "branches-unpadded")
