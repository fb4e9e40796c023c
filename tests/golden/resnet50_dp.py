"""ResNet-50 with block.drop_path=0.1 * position / (tot... (50 layers).

Paper: https://arxiv.org/abs/1512.03385

stage   output          parameters  multiply-adds
input   3 x 224 x 224
stem    64 x 56 x 56         9,536    118,013,952
layer1  256 x 56 x 56      215,808    667,942,912
layer2  512 x 28 x 28    1,219,584  1,027,604,480
layer3  1024 x 14 x 14   7,098,368  1,464,336,384
layer4  2048 x 7 x 7    14,964,736    809,238,528
head    1000             2,049,000      2,048,000
total                   25,557,032  4,089,184,256

    resnetgen build resnet50_dp.yaml

Compiled by resnetgen 0.1.0 (spec 155bc6f1ebcd9ac8, code d53be52f89dffdf0).
"""

import torch
from torch import Tensor, nn

__all__ = ["ResNet"]


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382): drops the branch of whole images in training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        kept = 1.0 - self.rate
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        mask = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(kept)
        if kept > 0.0:
            mask = mask / kept
        return x * mask


class Projection(nn.Sequential):
    """Option B, a 1x1 projection where the shape changes, the identity elsewhere."""

    def __init__(self, in_channels: int, out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out, 1, stride=stride, bias=False),
            nn.BatchNorm2d(out),
        )


class Bottleneck(nn.Module):
    """1x1 reduce, 3x3, 1x1 expand; the 3x3 strides (v1.5)."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        downsample: nn.Module,
        stride: int = 1,
        drop_path: float = 0.0,
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
        self.drop = DropPath(drop_path)
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
        x = self.drop(x)
        shortcut = self.downsample(identity)
        x = self.act3(x + shortcut)
        return x


class ResNet(nn.Module):
    """ResNet-50 with block.drop_path=0.1 * position / (tot..."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64, Projection(64, 256)),
            *(
                Bottleneck(256, 64, nn.Identity(), drop_path=0.1 * index / 15)
                for index in range(1, 3)
            ),
        )
        self.layer2 = nn.Sequential(
            Bottleneck(
                256,
                128,
                Projection(256, 512, stride=2),
                stride=2,
                drop_path=0.020000000000000004,
            ),
            *(
                Bottleneck(512, 128, nn.Identity(), drop_path=0.1 * (index + 3) / 15)
                for index in range(1, 4)
            ),
        )
        self.layer3 = nn.Sequential(
            Bottleneck(
                512,
                256,
                Projection(512, 1024, stride=2),
                stride=2,
                drop_path=0.04666666666666667,
            ),
            *(
                Bottleneck(1024, 256, nn.Identity(), drop_path=0.1 * (index + 7) / 15)
                for index in range(1, 6)
            ),
        )
        self.layer4 = nn.Sequential(
            Bottleneck(
                1024,
                512,
                Projection(1024, 2048, stride=2),
                stride=2,
                drop_path=0.08666666666666667,
            ),
            *(
                Bottleneck(2048, 512, nn.Identity(), drop_path=0.1 * (index + 13) / 15)
                for index in range(1, 3)
            ),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

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
