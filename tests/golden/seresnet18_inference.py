"""SE-ResNet-18, a squeeze-and-excitation unit in each block.

Paper: https://arxiv.org/abs/1709.01507

stage   output         parameters  multiply-adds
stem    64 x 56 x 56        9,536    118,013,952
layer1  64 x 56 x 56      150,160    462,424,064
layer2  128 x 28 x 28     529,936    411,045,888
layer3  256 x 14 x 14   2,116,640    411,058,176
layer4  512 x 7 x 7     8,460,352    411,107,328
head    1000              513,000        512,000
total                  11,779,624  1,814,161,408

Compiled by resnetgen from seresnet18 (spec af1d7c156b9cce3a, code c45ff96bd03336ed).
"""

import torch
from torch import Tensor, nn

__all__ = ["ResNet"]


class FusedConv(nn.Conv2d):
    """A convolution that adds a value and applies a ReLU in the same call.

    On a CPU it is one operator of oneDNN, whose weight is laid out at the first call.
    Elsewhere, for torch.compile, and where x asks for a gradient, it is what torch has
    for everybody. Weights are loaded, so none are drawn.
    """

    packed: Tensor | None = None
    origin: tuple[int, int] | None = None  # of the weight that is packed

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
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
        if self.is_packed_for(x):
            return self.fused(x, addend)
        x = self._conv_forward(x, self.weight, self.bias)
        if addend is not None:
            x = x + addend
        return x.relu() if self.relu else x

    def fused(self, x: Tensor, addend: Tensor | None) -> Tensor:
        ops = torch.ops.mkldnn
        place = (self.padding, self.stride, self.dilation, self.groups)
        act = "relu" if self.relu else None
        if addend is None:
            x = ops._convolution_pointwise(
                x, self.packed, self.bias, *place, act or "none", [], ""
            )
        elif self.overwrites:
            x = ops._convolution_pointwise_.binary(
                addend, x, self.packed, self.bias, *place, "add", 1.0, act, [], ""
            )
        else:
            x = ops._convolution_pointwise.binary(
                x, addend, self.packed, self.bias, *place, "add", 1.0, act, [], ""
            )
        return x

    def is_packed_for(self, x: Tensor) -> bool:
        if x.requires_grad or x.device.type != "cpu" or torch.compiler.is_compiling():
            return False
        version = 0 if self.weight.is_inference() else self.weight._version
        origin = (self.weight.data_ptr(), version)
        if origin != self.origin:
            self.origin = origin
            self.packed = self.pack(x) if self.can_pack() else None
        return self.packed is not None

    def pack(self, x: Tensor) -> Tensor:
        weight = self.weight.detach().to_mkldnn()
        place = (self.padding, self.stride, self.dilation, self.groups)
        reorder = torch.ops.aten.mkldnn_reorder_conv2d_weight
        packed: Tensor = reorder(weight, *place, list(x.shape))
        return packed

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "packed": None, "origin": None}  # it cannot be copied

    def can_pack(self) -> bool:
        ops = torch.ops.mkldnn
        names = ("_convolution_pointwise", "_convolution_pointwise_")
        if not torch._C._has_mkldnn or not all(hasattr(ops, name) for name in names):
            return False
        if self.weight.dtype == torch.bfloat16:
            return bool(ops._is_mkldnn_bf16_supported())
        return self.weight.dtype == torch.float32


class ResNet(nn.Module):
    """For inference: norms are folded into weights, and a call does what it can."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = FusedConv(3, 64, 7, stride=2, padding=3, relu=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1_0_conv1 = FusedConv(64, 64, 3, padding=1, relu=True)
        self.layer1_0_conv2 = FusedConv(64, 64, 3, padding=1)
        self.global_avg_pool = nn.AdaptiveAvgPool2d(1)
        self.layer1_0_se_fc1 = FusedConv(64, 8, 1, relu=True)
        self.layer1_0_se_fc2 = FusedConv(8, 64, 1)
        self.sigmoid = nn.Sigmoid()
        self.relu = nn.ReLU(inplace=True)
        self.layer1_1_conv1 = FusedConv(64, 64, 3, padding=1, relu=True)
        self.layer1_1_conv2 = FusedConv(64, 64, 3, padding=1)
        self.layer1_1_se_fc1 = FusedConv(64, 8, 1, relu=True)
        self.layer1_1_se_fc2 = FusedConv(8, 64, 1)
        self.layer2_0_conv1 = FusedConv(64, 128, 3, stride=2, padding=1, relu=True)
        self.layer2_0_conv2 = FusedConv(128, 128, 3, padding=1)
        self.layer2_0_se_fc1 = FusedConv(128, 8, 1, relu=True)
        self.layer2_0_se_fc2 = FusedConv(8, 128, 1)
        self.layer2_0_downsample_0 = FusedConv(
            64,
            128,
            1,
            stride=2,
            relu=True,
            overwrites=True,
        )
        self.layer2_1_conv1 = FusedConv(128, 128, 3, padding=1, relu=True)
        self.layer2_1_conv2 = FusedConv(128, 128, 3, padding=1)
        self.layer2_1_se_fc1 = FusedConv(128, 8, 1, relu=True)
        self.layer2_1_se_fc2 = FusedConv(8, 128, 1)
        self.layer3_0_conv1 = FusedConv(128, 256, 3, stride=2, padding=1, relu=True)
        self.layer3_0_conv2 = FusedConv(256, 256, 3, padding=1)
        self.layer3_0_se_fc1 = FusedConv(256, 16, 1, relu=True)
        self.layer3_0_se_fc2 = FusedConv(16, 256, 1)
        self.layer3_0_downsample_0 = FusedConv(
            128,
            256,
            1,
            stride=2,
            relu=True,
            overwrites=True,
        )
        self.layer3_1_conv1 = FusedConv(256, 256, 3, padding=1, relu=True)
        self.layer3_1_conv2 = FusedConv(256, 256, 3, padding=1)
        self.layer3_1_se_fc1 = FusedConv(256, 16, 1, relu=True)
        self.layer3_1_se_fc2 = FusedConv(16, 256, 1)
        self.layer4_0_conv1 = FusedConv(256, 512, 3, stride=2, padding=1, relu=True)
        self.layer4_0_conv2 = FusedConv(512, 512, 3, padding=1)
        self.layer4_0_se_fc1 = FusedConv(512, 32, 1, relu=True)
        self.layer4_0_se_fc2 = FusedConv(32, 512, 1)
        self.layer4_0_downsample_0 = FusedConv(
            256,
            512,
            1,
            stride=2,
            relu=True,
            overwrites=True,
        )
        self.layer4_1_conv1 = FusedConv(512, 512, 3, padding=1, relu=True)
        self.layer4_1_conv2 = FusedConv(512, 512, 3, padding=1)
        self.layer4_1_se_fc1 = FusedConv(512, 32, 1, relu=True)
        self.layer4_1_se_fc2 = FusedConv(32, 512, 1)
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        runs_here = x.device.type == "cpu" and not torch.compiler.is_compiling()
        if runs_here and x.shape[0] > 1 and 5.33 * x.nbytes > 2**24:
            half = x.shape[0] // 2
            return torch.cat([self.forward(x[:half]), self.forward(x[half:])])
        x = self.conv1(x)
        maxpool = self.maxpool(x)
        x = self.layer1_0_conv1(maxpool)
        layer1_0_conv2 = self.layer1_0_conv2(x)
        x = self.global_avg_pool(layer1_0_conv2)
        x = self.layer1_0_se_fc1(x)
        x = self.layer1_0_se_fc2(x)
        x = self.sigmoid(x)
        x = layer1_0_conv2 * x
        layer1_0 = self.relu(x + maxpool)
        x = self.layer1_1_conv1(layer1_0)
        layer1_1_conv2 = self.layer1_1_conv2(x)
        x = self.global_avg_pool(layer1_1_conv2)
        x = self.layer1_1_se_fc1(x)
        x = self.layer1_1_se_fc2(x)
        x = self.sigmoid(x)
        x = layer1_1_conv2 * x
        layer1_1 = self.relu(x + layer1_0)
        x = self.layer2_0_conv1(layer1_1)
        layer2_0_conv2 = self.layer2_0_conv2(x)
        x = self.global_avg_pool(layer2_0_conv2)
        x = self.layer2_0_se_fc1(x)
        x = self.layer2_0_se_fc2(x)
        x = self.sigmoid(x)
        x = layer2_0_conv2 * x
        layer2_0 = self.layer2_0_downsample_0(layer1_1, x)
        x = self.layer2_1_conv1(layer2_0)
        layer2_1_conv2 = self.layer2_1_conv2(x)
        x = self.global_avg_pool(layer2_1_conv2)
        x = self.layer2_1_se_fc1(x)
        x = self.layer2_1_se_fc2(x)
        x = self.sigmoid(x)
        x = layer2_1_conv2 * x
        layer2_1 = self.relu(x + layer2_0)
        x = self.layer3_0_conv1(layer2_1)
        layer3_0_conv2 = self.layer3_0_conv2(x)
        x = self.global_avg_pool(layer3_0_conv2)
        x = self.layer3_0_se_fc1(x)
        x = self.layer3_0_se_fc2(x)
        x = self.sigmoid(x)
        x = layer3_0_conv2 * x
        layer3_0 = self.layer3_0_downsample_0(layer2_1, x)
        x = self.layer3_1_conv1(layer3_0)
        layer3_1_conv2 = self.layer3_1_conv2(x)
        x = self.global_avg_pool(layer3_1_conv2)
        x = self.layer3_1_se_fc1(x)
        x = self.layer3_1_se_fc2(x)
        x = self.sigmoid(x)
        x = layer3_1_conv2 * x
        layer3_1 = self.relu(x + layer3_0)
        x = self.layer4_0_conv1(layer3_1)
        layer4_0_conv2 = self.layer4_0_conv2(x)
        x = self.global_avg_pool(layer4_0_conv2)
        x = self.layer4_0_se_fc1(x)
        x = self.layer4_0_se_fc2(x)
        x = self.sigmoid(x)
        x = layer4_0_conv2 * x
        layer4_0 = self.layer4_0_downsample_0(layer3_1, x)
        x = self.layer4_1_conv1(layer4_0)
        layer4_1_conv2 = self.layer4_1_conv2(x)
        x = self.global_avg_pool(layer4_1_conv2)
        x = self.layer4_1_se_fc1(x)
        x = self.layer4_1_se_fc2(x)
        x = self.sigmoid(x)
        x = layer4_1_conv2 * x
        x = self.relu(x + layer4_0)
        x = self.global_avg_pool(x)
        x = self.fc(x.flatten(1))
        return x
