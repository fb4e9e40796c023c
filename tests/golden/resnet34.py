"""ResNet-34.

Paper: https://arxiv.org/abs/1512.03385

stage   output         parameters  multiply-adds
input   3 x 224 x 224
stem    64 x 56 x 56        9,536    118,013,952
layer1  64 x 56 x 56      221,952    693,633,024
layer2  128 x 28 x 28   1,116,416    873,463,808
layer3  256 x 14 x 14   6,822,400  1,335,885,824
layer4  512 x 7 x 7    13,114,368    642,252,800
head    1000              513,000        512,000
total                  21,797,672  3,663,761,408

    resnetgen build resnet34

Compiled by resnetgen 0.1.0 (spec 046e1d4f1ed17ac2, code 89d47d28a9c7622d).
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


class Projection(nn.Sequential):
    """Option B, a 1x1 projection where the shape changes, the identity elsewhere."""

    def __init__(self, in_channels: int, out: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out, 1, stride=2, bias=False),
            nn.BatchNorm2d(out),
        )


class ResNet(nn.Module):
    """ResNet-34."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(
            *(BasicBlock(64, 64, nn.Identity()) for _ in range(3)),
        )
        self.layer2 = nn.Sequential(
            BasicBlock(64, 128, Projection(64, 128), stride=2),
            *(BasicBlock(128, 128, nn.Identity()) for _ in range(3)),
        )
        self.layer3 = nn.Sequential(
            BasicBlock(128, 256, Projection(128, 256), stride=2),
            *(BasicBlock(256, 256, nn.Identity()) for _ in range(5)),
        )
        self.layer4 = nn.Sequential(
            BasicBlock(256, 512, Projection(256, 512), stride=2),
            *(BasicBlock(512, 512, nn.Identity()) for _ in range(2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.act1(x)
        x = self.maxpool(x)
        x = self.layer1(x)  # 64 x 56 x 56
        x = self.layer2(x)  # 128 x 28 x 28
        x = self.layer3(x)  # 256 x 14 x 14
        x = self.layer4(x)  # 512 x 7 x 7
        x = self.avgpool(x)
        x = self.fc(x.flatten(1))
        return x
