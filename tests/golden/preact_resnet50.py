"""Pre-activation ResNet-50.

Paper: https://arxiv.org/abs/1603.05027

stage   output          parameters  multiply-adds
input   3 x 224 x 224
stem    64 x 56 x 56         9,408    118,013,952
layer1  256 x 56 x 56      214,912    667,942,912
layer2  512 x 28 x 28    1,218,048  1,027,604,480
layer3  1024 x 14 x 14   7,095,296  1,464,336,384
layer4  2048 x 7 x 7    14,958,592    809,238,528
head    1000             2,053,096      2,048,000
total                   25,549,352  4,089,184,256

    resnetgen build preact_resnet50

Compiled by resnetgen 0.1.0 (spec cc880a8e766c459c, code 937d51a4690997de).
"""

from collections import OrderedDict

from torch import Tensor, nn

__all__ = ["PreActResNet"]


class PreactProjection(nn.Module):
    """A 1x1 convolution where the shape changes, without a norm (He et al. 2016)."""

    def __init__(self, in_channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x


class DownsamplePreActBottleneck(nn.Module):
    """Norm-act-conv; a projection reads the activated value, an identity the raw one
    (He et al. 2016).
    """

    def __init__(
        self, in_channels: int, width: int, downsample: nn.Module, stride: int = 1
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.act1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.act2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(width)
        self.act3 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x)
        x = self.act1(x)
        shortcut = self.downsample(x)
        x = self.conv1(x)
        x = self.norm2(x)
        x = self.act2(x)
        x = self.conv2(x)
        x = self.norm3(x)
        x = self.act3(x)
        x = self.conv3(x)
        x = x + shortcut
        return x


class PreActBottleneck(nn.Module):
    """Norm-act-conv; a projection reads the activated value, an identity the raw one
    (He et al. 2016).
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.act1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.act2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(width)
        self.act3 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        x = self.norm1(x)
        x = self.act1(x)
        x = self.conv1(x)
        x = self.norm2(x)
        x = self.act2(x)
        x = self.conv2(x)
        x = self.norm3(x)
        x = self.act3(x)
        x = self.conv3(x)
        x = x + identity
        return x


class PreActResNet(nn.Module):
    """Pre-activation ResNet-50."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(
            DownsamplePreActBottleneck(64, 64, PreactProjection(64, 256)),
            *(PreActBottleneck(256, 64) for _ in range(2)),
        )
        self.layer2 = nn.Sequential(
            DownsamplePreActBottleneck(
                256,
                128,
                PreactProjection(256, 512, stride=2),
                stride=2,
            ),
            *(PreActBottleneck(512, 128) for _ in range(3)),
        )
        self.layer3 = nn.Sequential(
            DownsamplePreActBottleneck(
                512,
                256,
                PreactProjection(512, 1024, stride=2),
                stride=2,
            ),
            *(PreActBottleneck(1024, 256) for _ in range(5)),
        )
        self.layer4 = nn.Sequential(
            DownsamplePreActBottleneck(
                1024,
                512,
                PreactProjection(1024, 2048, stride=2),
                stride=2,
            ),
            *(PreActBottleneck(2048, 512) for _ in range(2)),
        )
        self.norm = nn.BatchNorm2d(2048)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(OrderedDict(fc=nn.Conv2d(2048, num_classes, 1)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.maxpool(x)
        x = self.layer1(x)  # 256 x 56 x 56
        x = self.layer2(x)  # 512 x 28 x 28
        x = self.layer3(x)  # 1024 x 14 x 14
        x = self.layer4(x)  # 2048 x 7 x 7
        x = self.norm(x)
        x = self.act(x)
        x = self.pool(x)
        x = self.head(x)
        x = x.flatten(1)
        return x
