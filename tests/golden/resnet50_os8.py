"""ResNet-50 with output_stride=8 (50 layers).

Paper: https://arxiv.org/abs/1512.03385

stage   output          parameters   multiply-adds
input   3 x 224 x 224
stem    64 x 56 x 56         9,536     118,013,952
layer1  256 x 56 x 56      215,808     667,942,912
layer2  512 x 28 x 28    1,219,584   1,027,604,480
layer3  1024 x 28 x 28   7,098,368   5,549,064,192
layer4  2048 x 28 x 28  14,964,736  11,714,691,072
head    1000             2,049,000       2,048,000
total                   25,557,032  19,079,364,608

    resnetgen build resnet50_os8.yaml

Compiled by resnetgen 0.1.0 (spec ddff4d2b93f61e55, code 0442766ac921c5cc).
"""

from torch import Tensor, nn

__all__ = ["ResNet"]


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
        first_dilation: int,
        downsample: nn.Module,
        stride: int = 1,
    ) -> None:
        super().__init__()
        out = width * 4
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(
            width,
            width,
            3,
            stride=stride,
            padding=first_dilation,
            dilation=first_dilation,
            bias=False,
        )
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


class ResNet(nn.Module):
    """ResNet-50 with output_stride=8."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64, first_dilation=1, downsample=Projection(64, 256)),
            *(
                Bottleneck(256, 64, first_dilation=1, downsample=nn.Identity())
                for _ in range(2)
            ),
        )
        self.layer2 = nn.Sequential(
            Bottleneck(
                256,
                128,
                first_dilation=1,
                stride=2,
                downsample=Projection(256, 512, stride=2),
            ),
            *(
                Bottleneck(512, 128, first_dilation=1, downsample=nn.Identity())
                for _ in range(3)
            ),
        )
        self.layer3 = nn.Sequential(
            Bottleneck(512, 256, first_dilation=1, downsample=Projection(512, 1024)),
            *(
                Bottleneck(1024, 256, first_dilation=2, downsample=nn.Identity())
                for _ in range(5)
            ),
        )
        self.layer4 = nn.Sequential(
            Bottleneck(1024, 512, first_dilation=2, downsample=Projection(1024, 2048)),
            *(
                Bottleneck(2048, 512, first_dilation=4, downsample=nn.Identity())
                for _ in range(2)
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
        x = self.layer3(x)  # 1024 x 28 x 28, dilation 2
        x = self.layer4(x)  # 2048 x 28 x 28, dilation 4
        x = self.avgpool(x)
        x = self.fc(x.flatten(1))
        return x
