"""GoogLeNet with batch normalisation, two auxiliary classifiers in training.

Paper: https://arxiv.org/abs/1409.4842

stage        output          parameters  multiply-adds
input        3 x 224 x 224
conv1        64 x 112 x 112       9,536    118,013,952
maxpool1     64 x 56 x 56             0              0
conv2        64 x 56 x 56         4,224     12,845,056
conv3        192 x 56 x 56      110,976    346,816,512
maxpool2     192 x 28 x 28            0              0
inception3a  256 x 28 x 28      155,872    121,626,624
inception3b  480 x 28 x 28      340,224    265,732,096
maxpool3     480 x 14 x 14            0              0
inception4a  512 x 14 x 14      364,512     71,199,744
inception4b  512 x 14 x 14      425,232     83,091,456
inception4c  512 x 14 x 14      486,192     95,033,344
inception4d  528 x 14 x 14      573,312    112,093,184
inception4e  832 x 14 x 14      803,840    157,151,232
maxpool4     832 x 7 x 7              0              0
inception5a  832 x 7 x 7        978,944     47,867,904
inception5b  1024 x 7 x 7     1,347,040     65,881,088
aux1         1000             3,188,968              0
aux2         1000             3,191,016              0
avgpool      1024 x 1 x 1             0              0
flatten      1024                     0              0
dropout      1024                     0              0
fc           1000             1,025,000      1,024,000
total                        13,004,888  1,498,376,192

    resnetgen build googlenet

Compiled by resnetgen 0.1.0 (spec 9ca6e1805e862ef7, code 4cf84d12cd53b175).
"""

import torch
from torch import Tensor, nn

__all__ = ["GoogLeNet"]


class Unit(nn.Module):
    def __init__(
        self, in_channels: int, out: int, kernel: int = 1, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out,
            kernel,
            stride=stride,
            padding=(kernel - 1) // 2,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(out, eps=0.001)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.bn(x)
        x = self.act(x)
        return x


class Inception(nn.Module):
    def __init__(
        self, in_channels: int, b1: int, b2in: int, b2: int, b3in: int, b3: int, b4: int
    ) -> None:
        super().__init__()
        self.branch1 = Unit(in_channels, b1)
        self.branch2 = nn.Sequential(Unit(in_channels, b2in), Unit(b2in, b2, kernel=3))
        self.branch3 = nn.Sequential(Unit(in_channels, b3in), Unit(b3in, b3, kernel=3))
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True),
            Unit(in_channels, b4),
        )

    def forward(self, x: Tensor) -> Tensor:
        branch1 = self.branch1(x)
        branch2 = self.branch2(x)
        branch3 = self.branch3(x)
        branch4 = self.branch4(x)
        x = torch.cat([branch1, branch2, branch3, branch4], dim=1)
        return x


class AuxClassifier(nn.Module):
    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = Unit(in_channels, 128)
        self.fc1 = nn.Linear(2048, 1024)
        self.act = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(x)
        x = self.conv(x)
        x = self.fc1(x.flatten(1))
        x = self.act(x)
        x = self.dropout(x)
        x = self.fc2(x)
        return x


class GoogLeNet(nn.Module):
    """GoogLeNet with batch normalisation, two auxiliary classifiers in training."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = Unit(in_channels, 64, kernel=7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = Unit(64, 64)
        self.conv3 = Unit(64, 192, kernel=3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(192, b1=64, b2in=96, b2=128, b3in=16, b3=32, b4=32)
        self.inception3b = Inception(
            256, b1=128, b2in=128, b2=192, b3in=32, b3=96, b4=64
        )
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(
            480, b1=192, b2in=96, b2=208, b3in=16, b3=48, b4=64
        )
        self.inception4b = Inception(
            512, b1=160, b2in=112, b2=224, b3in=24, b3=64, b4=64
        )
        self.inception4c = Inception(
            512, b1=128, b2in=128, b2=256, b3in=24, b3=64, b4=64
        )
        self.inception4d = Inception(
            512, b1=112, b2in=144, b2=288, b3in=32, b3=64, b4=64
        )
        self.inception4e = Inception(
            528, b1=256, b2in=160, b2=320, b3in=32, b3=128, b4=128
        )
        self.maxpool4 = nn.MaxPool2d(2, ceil_mode=True)
        self.inception5a = Inception(
            832, b1=256, b2in=160, b2=320, b3in=32, b3=128, b4=128
        )
        self.inception5b = Inception(
            832, b1=384, b2in=192, b2=384, b3in=48, b3=128, b4=128
        )
        self.aux1 = AuxClassifier(512, num_classes)
        self.aux2 = AuxClassifier(528, num_classes)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1024, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01, a=-2, b=2)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = self.conv1(x)
        x = self.maxpool1(x)
        x = self.conv2(x)
        x = self.conv3(x)
        x = self.maxpool2(x)
        x = self.inception3a(x)
        x = self.inception3b(x)
        x = self.maxpool3(x)
        x = self.inception4a(x)
        if self.training:
            aux1 = self.aux1(x)
        x = self.inception4b(x)
        x = self.inception4c(x)
        x = self.inception4d(x)
        if self.training:
            aux2 = self.aux2(x)
        x = self.inception4e(x)
        x = self.maxpool4(x)
        x = self.inception5a(x)
        x = self.inception5b(x)
        x = self.avgpool(x)
        x = self.dropout(x.flatten(1))
        x = self.fc(x)
        if self.training:
            return x, aux2, aux1
        return x
