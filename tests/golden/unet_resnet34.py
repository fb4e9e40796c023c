"""A U-Net decoder on ResNet-34.

Paper: https://arxiv.org/abs/1512.03385

stage                output          parameters  multiply-adds
input                3 x 224 x 224
stem                 64 x 56 x 56         9,536    118,013,952
layer1               64 x 56 x 56       221,952    693,633,024
layer2               128 x 28 x 28    1,116,416    873,463,808
layer3               256 x 14 x 14    6,822,400  1,335,885,824
layer4               512 x 7 x 7     13,114,368    642,252,800
decoder.blocks.0     256 x 14 x 14    2,360,320    462,422,016
decoder.blocks.1     128 x 28 x 28      590,336    462,422,016
decoder.blocks.2     64 x 56 x 56       147,712    462,422,016
decoder.blocks.3     32 x 112 x 112      46,208    578,027,520
decoder.blocks.4     16 x 224 x 224       6,976    346,816,512
segmentation_head.0  21 x 224 x 224       3,045    151,732,224
total                                24,439,269  6,127,091,712

    resnetgen build unet_resnet34.yaml

Compiled by resnetgen 0.1.0 (spec c56be2a3c631e630, code 7b41d4d7bba9afdb).
"""

import torch
from torch import Tensor, nn

__all__ = ["UNet"]


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


class Up(nn.Module):
    def __init__(self, in_channels: int, skip_channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels + skip_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        resize = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
        x = torch.cat([resize, skip], dim=1)
        x = self.conv1(x)
        x = self.conv2(x)
        return x


class UpWithoutJoin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(32, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(
            nn.Conv2d(16, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
        x = self.conv1(x)
        x = self.conv2(x)
        return x


class Decoder(nn.Module):
    """The modules below `decoder`."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [
                Up(512, 256, width=256),
                Up(256, 128, width=128),
                Up(128, 64, width=64),
                Up(64, 64, width=32),
                UpWithoutJoin(),
            ],
        )

    def forward(
        self, x: Tensor, layer3: Tensor, layer2: Tensor, layer1: Tensor, act1: Tensor
    ) -> Tensor:
        x = self.blocks[0](x, layer3)
        x = self.blocks[1](x, layer2)
        x = self.blocks[2](x, layer1)
        x = self.blocks[3](x, act1)
        x = self.blocks[4](x)
        return x


class UNet(nn.Module):
    """A U-Net decoder on ResNet-34."""

    def __init__(self, in_channels: int = 3) -> None:
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
        self.decoder = Decoder()
        self.segmentation_head = nn.Sequential(nn.Conv2d(16, 21, 3, padding=1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.bn1(x)
        act1 = self.act1(x)
        x = self.maxpool(act1)
        layer1 = self.layer1(x)  # 64 x 56 x 56
        layer2 = self.layer2(layer1)  # 128 x 28 x 28
        layer3 = self.layer3(layer2)  # 256 x 14 x 14
        x = self.layer4(layer3)  # 512 x 7 x 7
        x = self.decoder(x, layer3, layer2, layer1, act1)
        x = self.segmentation_head(x)
        return x
