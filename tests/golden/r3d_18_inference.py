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

    resnetgen build r3d_18 --target inference

Compiled by resnetgen 0.1.0 (spec 784e55e0d7edd055, code 6566c959c751c8da).
"""

import torch
from torch import Tensor, nn

__all__ = ["VideoResNet"]


class FusedConv3d(nn.Conv3d):
    """A convolution, then an addition and a ReLU. Weights are loaded, so none are drawn."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] = 1,
        padding: int | tuple[int, int, int] = 0,
        dilation: int | tuple[int, int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        relu: bool = False,
        overwrites: bool = False,
    ) -> None:
        place = (stride, padding, dilation, groups)
        super().__init__(in_channels, out_channels, kernel_size, *place, bias=bias)
        self.requires_grad_(False)
        self.relu = relu
        self.overwrites = overwrites

    def reset_parameters(self) -> None:
        pass

    def forward(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        x = self._conv_forward(x, self.weight, self.bias)
        if addend is not None:
            x += addend
        return x.relu_() if self.relu else x


class VideoResNet(nn.Module):
    """The network in evaluation mode; norms are folded into the weights before them.

    A new one has no weights: load what `build --target inference --weights` stores
    beside this file, or let `resnetgen.optimize` make both from a checkpoint. `x` has
    the dtype of the weights and any memory format. Best called under
    `torch.inference_mode()`: else each convolution looks whether a gradient is wanted.
    """

    def __init__(self) -> None:
        super().__init__()
        # A block of nearly 32 MiB, given back untouched: glibc takes from it how much of
        # freed memory to keep, 64 MiB, which the next call does not fault in anew.
        torch.empty(2**25 - 2**12, dtype=torch.uint8, device="cpu")
        self.stem_0 = FusedConv3d(
            3, 64, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), relu=True
        )
        self.layer1_0_conv1_0 = FusedConv3d(64, 64, 3, padding=1, relu=True)
        self.layer1_0_conv2_0 = FusedConv3d(
            64, 64, 3, padding=1, relu=True, overwrites=True
        )
        self.layer1_1_conv1_0 = FusedConv3d(64, 64, 3, padding=1, relu=True)
        self.layer1_1_conv2_0 = FusedConv3d(
            64, 64, 3, padding=1, relu=True, overwrites=True
        )
        self.layer2_0_conv1_0 = FusedConv3d(64, 128, 3, stride=2, padding=1, relu=True)
        self.layer2_0_conv2_0 = FusedConv3d(128, 128, 3, padding=1)
        self.layer2_0_downsample_0 = FusedConv3d(
            64, 128, 1, stride=2, relu=True, overwrites=True
        )
        self.layer2_1_conv1_0 = FusedConv3d(128, 128, 3, padding=1, relu=True)
        self.layer2_1_conv2_0 = FusedConv3d(
            128, 128, 3, padding=1, relu=True, overwrites=True
        )
        self.layer3_0_conv1_0 = FusedConv3d(128, 256, 3, stride=2, padding=1, relu=True)
        self.layer3_0_conv2_0 = FusedConv3d(256, 256, 3, padding=1)
        self.layer3_0_downsample_0 = FusedConv3d(
            128, 256, 1, stride=2, relu=True, overwrites=True
        )
        self.layer3_1_conv1_0 = FusedConv3d(256, 256, 3, padding=1, relu=True)
        self.layer3_1_conv2_0 = FusedConv3d(
            256, 256, 3, padding=1, relu=True, overwrites=True
        )
        self.layer4_0_conv1_0 = FusedConv3d(256, 512, 3, stride=2, padding=1, relu=True)
        self.layer4_0_conv2_0 = FusedConv3d(512, 512, 3, padding=1)
        self.layer4_0_downsample_0 = FusedConv3d(
            256, 512, 1, stride=2, relu=True, overwrites=True
        )
        self.layer4_1_conv1_0 = FusedConv3d(512, 512, 3, padding=1, relu=True)
        self.layer4_1_conv2_0 = FusedConv3d(
            512, 512, 3, padding=1, relu=True, overwrites=True
        )
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(512, 400)

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cpu and x.shape[0] > 1 and not torch.compiler.is_compiling():
            memory = x.nbytes * 10235904 // (3 * 16 * 112 * 112)
            if memory > 2**26:  # bytes; so much is kept from call to call
                half = x.shape[0] // 2
                return torch.cat([self.forward(x[:half]), self.forward(x[half:])])
        x = self.stem_0(x)
        y = self.layer1_0_conv1_0(x)
        x = self.layer1_0_conv2_0(y, x)
        y = self.layer1_1_conv1_0(x)
        x = self.layer1_1_conv2_0(y, x)
        y = self.layer2_0_conv1_0(x)
        y = self.layer2_0_conv2_0(y)
        x = self.layer2_0_downsample_0(x, y)
        y = self.layer2_1_conv1_0(x)
        x = self.layer2_1_conv2_0(y, x)
        y = self.layer3_0_conv1_0(x)
        y = self.layer3_0_conv2_0(y)
        x = self.layer3_0_downsample_0(x, y)
        y = self.layer3_1_conv1_0(x)
        x = self.layer3_1_conv2_0(y, x)
        y = self.layer4_0_conv1_0(x)
        y = self.layer4_0_conv2_0(y)
        x = self.layer4_0_downsample_0(x, y)
        y = self.layer4_1_conv1_0(x)
        x = self.layer4_1_conv2_0(y, x)
        x = self.avgpool(x)
        x = x.flatten(1)
        x = self.fc(x)
        return x
