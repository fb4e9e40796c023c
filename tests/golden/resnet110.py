"""ResNet-110 for CIFAR-10, option A, zero channels half before and half after.

Paper: https://arxiv.org/abs/1512.03385

stage   output        parameters  multiply-adds
input   3 x 32 x 32
stem    16 x 32 x 32         464        442,368
layer1  16 x 32 x 32      84,096     84,934,656
layer2  32 x 16 x 16     329,472     83,755,008
layer3  64 x 8 x 8     1,313,280     83,755,008
head    10                   650            640
total                  1,727,962    252,887,680

    resnetgen build resnet110

Compiled by resnetgen 0.1.0 (spec 08d8dbda3cd9acc1, code ba23567e9a8ced52).
"""

from torch import Tensor, nn

__all__ = ["ResNet"]


class BasicBlock(nn.Module):
    """Two 3x3; the first strides (He et al. 2015, figure 5, left)."""

    def __init__(
        self, in_channels: int, width: int, downsample: nn.Module, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channels, width, 3, stride=stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample
        self.act2 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.act1(x)
        x = self.conv2(x)
        x = self.bn2(x)
        shortcut = self.downsample(identity)
        x = self.act2(x + shortcut)
        return x


class ZeroPad(nn.Module):
    """Option A, subsampling and zero channels where the shape changes; no
    parameters.
    """

    def __init__(self, in_channels: int, out: int) -> None:
        super().__init__()
        front = (out - in_channels) // 2
        self.front = front
        self.back = out - in_channels - front

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, ::2, ::2]
        x = nn.functional.pad(x, (0, 0, 0, 0, self.front, self.back))
        return x


class ResNet(nn.Module):
    """ResNet-110 for CIFAR-10, option A, zero channels half before and half after."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.act1 = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(
            *(BasicBlock(16, 16, nn.Identity()) for _ in range(18)),
        )
        self.layer2 = nn.Sequential(
            BasicBlock(16, 32, ZeroPad(16, 32), stride=2),
            *(BasicBlock(32, 32, nn.Identity()) for _ in range(17)),
        )
        self.layer3 = nn.Sequential(
            BasicBlock(32, 64, ZeroPad(32, 64), stride=2),
            *(BasicBlock(64, 64, nn.Identity()) for _ in range(17)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.act1(x)
        x = self.layer1(x)  # 16 x 32 x 32
        x = self.layer2(x)  # 32 x 16 x 16
        x = self.layer3(x)  # 64 x 8 x 8
        x = self.avgpool(x)
        x = self.fc(x.flatten(1))
        return x
