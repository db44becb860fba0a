"""Classification networks from their published layer tables, up to the last feature map before the classifier."""

from torch import Tensor, nn


def alexnet() -> nn.Module:
    """Krizhevsky 2014 (one weird trick), table 1, features."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def vgg16() -> nn.Module:
    """Simonyan & Zisserman 2015, table 1, configuration D, up to pool5."""
    layers: list[nn.Module] = []
    channels = 3
    for width, rounds in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(rounds):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """He et al. 2016, figure 5, right, with the stride at the 3x3 convolution."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != 4 * width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        out += self.shortcut(x)  # in place, as the published code does
        return self.relu(out)


def resnet(rounds: tuple[int, ...], strides_first: bool = False) -> nn.Module:
    """He et al. 2016, table 1, up to conv5.

    Araujo et al. 2019 measured the TF-Slim networks, in which the last block of a stage strides (483 and 1027 px);
    where the first one strides, as in torchvision, the field is smaller (427 and 971 px).
    """
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, padding=1),
    ]  # fmt: skip
    channels = 64
    for stage, count in enumerate(rounds):
        for number in range(count):
            width = 64 * 2**stage
            is_striding = (stage and number == 0) if strides_first else (stage < 3 and number == count - 1)
            layers.append(Bottleneck(channels, width, 2 if is_striding else 1))
            channels = 4 * width
    return nn.Sequential(*layers)
