"""3-D ResNet-18 for clips of 16 frames.

Paper: https://arxiv.org/abs/1711.11248

stage   output              parameters   multiply-adds
input   3 x 16 x 112 x 112
stem    64 x 16 x 56 x 56       28,352   1,416,167,424
layer1  64 x 16 x 56 x 56      442,880  22,196,256,768
layer2  128 x 8 x 28 x 28    1,557,760   9,762,242,560
layer3  256 x 4 x 14 x 14    6,228,480   4,881,121,280
layer4  512 x 2 x 7 x 7     24,908,800   2,440,560,640
head    400                    205,200         204,800
total                       33,371,472  40,696,553,472

    resnetgen build r3d_18

Compiled by resnetgen 0.1.0 (spec 784e55e0d7edd055, code 3d33197388eeef0d).
"""

from torch import Tensor, nn

__all__ = ["VideoResNet"]


class Basic3d(nn.Module):
    def __init__(
        self, in_channels: int, width: int, downsample: nn.Module, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv3d(in_channels, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(
            nn.Conv3d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm3d(width),
        )
        self.downsample = downsample
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        x = self.conv1(x)
        x = self.conv2(x)
        shortcut = self.downsample(identity)
        x = self.act(x + shortcut)
        return x


class Projection(nn.Sequential):
    """Option B, a 1x1 projection where the shape changes, the identity elsewhere."""

    def __init__(self, in_channels: int, out: int) -> None:
        super().__init__(
            nn.Conv3d(in_channels, out, 1, stride=2, bias=False),
            nn.BatchNorm3d(out),
        )


class VideoResNet(nn.Module):
    """3-D ResNet-18 for clips of 16 frames."""

    def __init__(self, num_classes: int = 400, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(
                in_channels,
                64,
                (3, 7, 7),
                stride=(1, 2, 2),
                padding=(1, 3, 3),
                bias=False,
            ),
            nn.BatchNorm3d(64),
            nn.ReLU(inplace=True),
        )
        self.layer1 = nn.Sequential(*(Basic3d(64, 64, nn.Identity()) for _ in range(2)))
        self.layer2 = nn.Sequential(
            Basic3d(64, 128, Projection(64, 128), stride=2),
            Basic3d(128, 128, nn.Identity()),
        )
        self.layer3 = nn.Sequential(
            Basic3d(128, 256, Projection(128, 256), stride=2),
            Basic3d(256, 256, nn.Identity()),
        )
        self.layer4 = nn.Sequential(
            Basic3d(256, 512, Projection(256, 512), stride=2),
            Basic3d(512, 512, nn.Identity()),
        )
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(512, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.layer1(x)  # 64 x 16 x 56 x 56
        x = self.layer2(x)  # 128 x 8 x 28 x 28
        x = self.layer3(x)  # 256 x 4 x 14 x 14
        x = self.layer4(x)  # 512 x 2 x 7 x 7
        x = self.avgpool(x)
        x = self.fc(x.flatten(1))
        return x
