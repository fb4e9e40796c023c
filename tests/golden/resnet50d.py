"""ResNet-50-D, a deep stem and average-pool shortcuts.

Paper: https://arxiv.org/abs/1812.01187

stage   output          parameters  multiply-adds
input   3 x 224 x 224
stem    64 x 56 x 56        28,768    357,654,528
layer1  256 x 56 x 56      215,808    667,942,912
layer2  512 x 28 x 28    1,219,584  1,027,604,480
layer3  1024 x 14 x 14   7,098,368  1,464,336,384
layer4  2048 x 7 x 7    14,964,736    809,238,528
head    1000             2,049,000      2,048,000
total                   25,576,264  4,328,824,832

    resnetgen build resnet50d

Compiled by resnetgen 0.1.0 (spec 6b93167c26904c0d, code 75d64c027f768582).
"""

from torch import Tensor, nn

__all__ = ["ResNet"]


class AvgProjectionWithoutPool(nn.Sequential):
    """Average pool, then a 1x1 projection (ResNet-D, arXiv 1812.01187)."""

    def __init__(self) -> None:
        super().__init__(
            nn.Identity(),
            nn.Conv2d(64, 256, 1, bias=False),
            nn.BatchNorm2d(256),
        )


class Bottleneck(nn.Module):
    """1x1 reduce, 3x3, 1x1 expand; the 3x3 strides (v1.5)."""

    def __init__(
        self, in_channels: int, width: int, downsample: nn.Module, stride: int = 1
    ) -> None:
        super().__init__()
        out = width * 4
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = downsample
        self.act3 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.act1(x)
        x = self.conv2(x)
        x = self.bn2(x)
        x = self.act2(x)
        x = self.conv3(x)
        x = self.bn3(x)
        shortcut = self.downsample(identity)
        x = self.act3(x + shortcut)
        return x


class AvgProjection(nn.Sequential):
    """Average pool, then a 1x1 projection (ResNet-D, arXiv 1812.01187)."""

    def __init__(self, in_channels: int, out: int) -> None:
        super().__init__(
            nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),
            nn.Conv2d(in_channels, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )


class ResNet(nn.Module):
    """ResNet-50-D, a deep stem and average-pool shortcuts."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, 32, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, padding=1, bias=False),
        )
        self.bn1 = nn.BatchNorm2d(64)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64, AvgProjectionWithoutPool()),
            *(Bottleneck(256, 64, nn.Identity()) for _ in range(2)),
        )
        self.layer2 = nn.Sequential(
            Bottleneck(256, 128, AvgProjection(256, 512), stride=2),
            *(Bottleneck(512, 128, nn.Identity()) for _ in range(3)),
        )
        self.layer3 = nn.Sequential(
            Bottleneck(512, 256, AvgProjection(512, 1024), stride=2),
            *(Bottleneck(1024, 256, nn.Identity()) for _ in range(5)),
        )
        self.layer4 = nn.Sequential(
            Bottleneck(1024, 512, AvgProjection(1024, 2048), stride=2),
            *(Bottleneck(2048, 512, nn.Identity()) for _ in range(2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.act1(x)
        x = self.maxpool(x)
        x = self.layer1(x)  # 256 x 56 x 56
        x = self.layer2(x)  # 512 x 28 x 28
        x = self.layer3(x)  # 1024 x 14 x 14
        x = self.layer4(x)  # 2048 x 7 x 7
        x = self.avgpool(x)
        x = self.fc(x.flatten(1))
        return x
