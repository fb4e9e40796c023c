"""ResNet-50 that blurs before its strides.

Paper: https://arxiv.org/abs/1904.11486

stage   output          parameters  multiply-adds
input   3 x 224 x 224
stem    64 x 56 x 56         9,536    119,820,288
layer1  256 x 56 x 56      215,808    667,942,912
layer2  512 x 28 x 28    1,219,584  1,375,324,160
layer3  1024 x 14 x 14   7,098,368  1,811,604,480
layer4  2048 x 7 x 7    14,964,736  1,156,280,832
head    1000             2,049,000      2,048,000
total                   25,557,032  5,133,020,672

    resnetgen build resnetblur50

Compiled by resnetgen 0.1.0 (spec 48c9fe97b9d735f9, code aefe6506c40f6628).
"""

import torch
from torch import Tensor, nn

__all__ = ["ResNet"]


class BlurPool2d(nn.Module):
    """Blurs each channel by a binomial filter and strides (arXiv 1904.11486)."""

    filter: Tensor

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride
        taps = torch.tensor([0.25, 0.5, 0.25])
        taps = taps[:, None] * taps
        taps = taps.repeat(channels, 1, 1, 1)
        self.register_buffer("filter", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
        groups = self.channels
        return nn.functional.conv2d(x, self.filter, stride=self.stride, groups=groups)


class BlurredPool(nn.Sequential):
    """Max-pool of stride 1, then a blur that strides (arXiv 1904.11486)."""

    def __init__(self) -> None:
        super().__init__(nn.MaxPool2d(3, stride=1, padding=1), BlurPool2d(64, stride=2))


class Projection(nn.Sequential):
    """Option B, a 1x1 projection where the shape changes, the identity elsewhere."""

    def __init__(self, in_channels: int, out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out, 1, stride=stride, bias=False),
            nn.BatchNorm2d(out),
        )


class Bottleneck(nn.Module):
    """A bottleneck that strides in a blur or an average after its 3x3."""

    def __init__(
        self, in_channels: int, width: int, aa: nn.Module, downsample: nn.Module
    ) -> None:
        super().__init__()
        out = width * 4
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act2 = nn.ReLU(inplace=True)
        self.aa = aa
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
        x = self.aa(x)
        x = self.conv3(x)
        x = self.bn3(x)
        shortcut = self.downsample(identity)
        x = self.act3(x + shortcut)
        return x


class BlurStride(nn.Sequential):
    """Strides after a blur (arXiv 1904.11486)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(BlurPool2d(in_channels, stride=2))


class ResNet(nn.Module):
    """ResNet-50 that blurs before its strides."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = BlurredPool()
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64, aa=nn.Identity(), downsample=Projection(64, 256)),
            *(
                Bottleneck(256, 64, aa=nn.Identity(), downsample=nn.Identity())
                for _ in range(2)
            ),
        )
        self.layer2 = nn.Sequential(
            Bottleneck(
                256,
                128,
                aa=BlurStride(128),
                downsample=Projection(256, 512, stride=2),
            ),
            *(
                Bottleneck(512, 128, aa=nn.Identity(), downsample=nn.Identity())
                for _ in range(3)
            ),
        )
        self.layer3 = nn.Sequential(
            Bottleneck(
                512,
                256,
                aa=BlurStride(256),
                downsample=Projection(512, 1024, stride=2),
            ),
            *(
                Bottleneck(1024, 256, aa=nn.Identity(), downsample=nn.Identity())
                for _ in range(5)
            ),
        )
        self.layer4 = nn.Sequential(
            Bottleneck(
                1024,
                512,
                aa=BlurStride(512),
                downsample=Projection(1024, 2048, stride=2),
            ),
            *(
                Bottleneck(2048, 512, aa=nn.Identity(), downsample=nn.Identity())
                for _ in range(2)
            ),
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
