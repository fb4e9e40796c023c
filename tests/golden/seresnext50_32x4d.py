"""SE-ResNeXt-50 32x4d, a squeeze-and-excitation unit in each block.

Paper: https://arxiv.org/abs/1709.01507

stage   output          parameters  multiply-adds
input   3 x 224 x 224
stem    64 x 56 x 56         9,536    118,013,952
layer1  256 x 56 x 56      231,216    634,249,216
layer2  512 x 28 x 28    1,330,304  1,085,538,304
layer3  1024 x 14 x 14   7,815,552  1,526,136,832
layer4  2048 x 7 x 7    16,124,288    867,008,512
head    1000             2,049,000      2,048,000
total                   27,559,896  4,232,994,816

    resnetgen build seresnext50_32x4d

Compiled by resnetgen 0.1.0 (spec 62902d39042424f8, code ea664d0f62d7a275).
"""

from torch import Tensor, nn

__all__ = ["ResNet"]


class SqueezeExcite(nn.Module):
    """Channel gates from a pooled bottleneck of two 1x1 convolutions (arXiv
    1709.01507).
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        squeeze = max(8, int(in_channels * 0.0625 + 4.0) // 8 * 8)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(in_channels, squeeze, 1)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(squeeze, in_channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        x = self.pool(x)
        x = self.fc1(x)
        x = self.act(x)
        x = self.fc2(x)
        x = self.gate(x)
        x = identity * x
        return x


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
        self, in_channels: int, width: int, downsample: nn.Module, stride: int = 1
    ) -> None:
        super().__init__()
        inner = width // 16 * 32
        out = width * 4
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(
            inner, inner, 3, stride=stride, padding=1, groups=32, bias=False
        )
        self.bn2 = nn.BatchNorm2d(inner)
        self.act2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(inner, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.se = SqueezeExcite(out)
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
        x = self.se(x)
        shortcut = self.downsample(identity)
        x = self.act3(x + shortcut)
        return x


class ResNet(nn.Module):
    """SE-ResNeXt-50 32x4d, a squeeze-and-excitation unit in each block."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64, Projection(64, 256)),
            *(Bottleneck(256, 64, nn.Identity()) for _ in range(2)),
        )
        self.layer2 = nn.Sequential(
            Bottleneck(256, 128, Projection(256, 512, stride=2), stride=2),
            *(Bottleneck(512, 128, nn.Identity()) for _ in range(3)),
        )
        self.layer3 = nn.Sequential(
            Bottleneck(512, 256, Projection(512, 1024, stride=2), stride=2),
            *(Bottleneck(1024, 256, nn.Identity()) for _ in range(5)),
        )
        self.layer4 = nn.Sequential(
            Bottleneck(1024, 512, Projection(1024, 2048, stride=2), stride=2),
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
