"""SE-ResNet-18, a squeeze-and-excitation unit in each block.

Paper: https://arxiv.org/abs/1709.01507

stage   output         parameters  multiply-adds
input   3 x 224 x 224
stem    64 x 56 x 56        9,536    118,013,952
layer1  64 x 56 x 56      150,160    462,424,064
layer2  128 x 28 x 28     529,936    411,045,888
layer3  256 x 14 x 14   2,116,640    411,058,176
layer4  512 x 7 x 7     8,460,352    411,107,328
head    1000              513,000        512,000
total                  11,779,624  1,814,161,408

    resnetgen build seresnet18 --target inference

Compiled by resnetgen 0.1.0 (spec 50dffa10542b8cb9, code 484151df50936eb9).
"""

import torch
from torch import Tensor, nn

__all__ = ["ResNet"]


class FusedConv2d(nn.Conv2d):
    """A convolution that adds a value and applies a ReLU in the same call.

    On a CPU it is one operator of oneDNN, whose result is channels_last; with
    `overwrites` it takes the memory of the value that is added. The weight is laid out
    for it at the first call, and again when it has changed. Elsewhere, for
    torch.compile, and where a gradient is asked for, it is what torch has for
    everybody. Weights are loaded, so none are drawn.
    """

    packed: Tensor | None = None
    source: Tensor | None = None
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
        if not torch.compiler.is_compiling() and self.is_packed_for(x, addend):
            return self.fused(x, addend)
        x = self._conv_forward(x, self.weight, self.bias)
        if addend is not None:
            x += addend
        return x.relu_() if self.relu else x

    def fused(self, x: Tensor, addend: Tensor | None) -> Tensor:
        if self.relu and addend is not None and self.lacks_relu(addend):
            return self.add(x, addend, None).relu_()
        act = "relu" if self.relu else None
        return self.add(x, addend, act)

    def add(self, x: Tensor, addend: Tensor | None, act: str | None) -> Tensor:
        ops = torch.ops.mkldnn
        place = (self.padding, self.stride, self.dilation, self.groups)
        kernel = (self.packed, self._parameters["bias"], *place)
        if addend is None:
            x = ops._convolution_pointwise(x, *kernel, act or "none", [], "")
        elif self.overwrites:
            add = ops._convolution_pointwise_.binary
            x = add(addend, x, *kernel, "add", 1.0, act, [], "")
        else:
            add = ops._convolution_pointwise.binary
            x = add(x, addend, *kernel, "add", 1.0, act, [], "")
            if x.shape != addend.shape:  # oneDNN repeats a smaller one, or reads a part
                raise RuntimeError(f"cannot add {addend.shape} to {x.shape}")
        return x

    def lacks_relu(self, addend: Tensor) -> bool:
        # What oneDNN does not add, torch does, and torch has no add_relu of bfloat16.
        if addend.dtype != torch.bfloat16:
            return False
        return self.groups > 1 or addend.stride(1) != 1 or addend.shape[2:].numel() == 1

    def is_packed_for(self, x: Tensor, addend: Tensor | None) -> bool:
        weight = self._parameters.get("weight")  # `self.weight` takes ten times as long
        if weight is None or not x.is_cpu or x.dtype != weight.dtype or x.ndim != 4:
            return False
        if torch.is_grad_enabled() and self.needs_gradient(x, addend):
            return False
        version = 0 if weight.is_inference() else weight._version
        origin = (weight.data_ptr(), version)
        if origin != self.origin:
            self.source = weight.detach()  # held, so that its address is its own
            self.packed = self.pack(weight, x) if self.can_pack() else None
            self.origin = origin  # last: another thread reads both
        return self.packed is not None

    def needs_gradient(self, x: Tensor, addend: Tensor | None) -> bool:
        read = (x, addend, *self._parameters.values())
        return any(each is not None and each.requires_grad for each in read)

    def pack(self, weight: Tensor, x: Tensor) -> Tensor:
        place = (self.padding, self.stride, self.dilation, self.groups)
        reorder = torch.ops.mkldnn._reorder_convolution_weight
        packed: Tensor = reorder(weight.detach(), *place, list(x.shape))
        return packed

    def can_pack(self) -> bool:
        ops = torch.ops.mkldnn
        reorder = "_reorder_convolution_weight"
        names = (reorder, "_convolution_pointwise", "_convolution_pointwise_")
        if not torch._C._has_mkldnn or not all(hasattr(ops, name) for name in names):
            return False
        if self.weight.dtype == torch.bfloat16:
            return bool(ops._is_mkldnn_bf16_supported())
        return self.weight.dtype == torch.float32

    def __getstate__(self) -> dict[str, object]:
        made = {"source": None, "packed": None, "origin": None}  # it cannot be copied
        return {**self.__dict__, **made}


class ResNet(nn.Module):
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
        self.conv1 = FusedConv2d(3, 64, 7, stride=2, padding=3, relu=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1_0_conv1 = FusedConv2d(64, 64, 3, padding=1, relu=True)
        self.layer1_0_conv2 = FusedConv2d(64, 64, 3, padding=1)
        self.global_avg_pool = nn.AdaptiveAvgPool2d(1)
        self.layer1_0_se_fc1 = FusedConv2d(64, 8, 1, relu=True)
        self.layer1_0_se_fc2 = FusedConv2d(8, 64, 1)
        self.sigmoid = nn.Sigmoid()
        self.relu = nn.ReLU(inplace=True)
        self.layer1_1_conv1 = FusedConv2d(64, 64, 3, padding=1, relu=True)
        self.layer1_1_conv2 = FusedConv2d(64, 64, 3, padding=1)
        self.layer1_1_se_fc1 = FusedConv2d(64, 8, 1, relu=True)
        self.layer1_1_se_fc2 = FusedConv2d(8, 64, 1)
        self.layer2_0_conv1 = FusedConv2d(64, 128, 3, stride=2, padding=1, relu=True)
        self.layer2_0_conv2 = FusedConv2d(128, 128, 3, padding=1)
        self.layer2_0_se_fc1 = FusedConv2d(128, 8, 1, relu=True)
        self.layer2_0_se_fc2 = FusedConv2d(8, 128, 1)
        self.layer2_0_downsample_0 = FusedConv2d(
            64, 128, 1, stride=2, relu=True, overwrites=True
        )
        self.layer2_1_conv1 = FusedConv2d(128, 128, 3, padding=1, relu=True)
        self.layer2_1_conv2 = FusedConv2d(128, 128, 3, padding=1)
        self.layer2_1_se_fc1 = FusedConv2d(128, 8, 1, relu=True)
        self.layer2_1_se_fc2 = FusedConv2d(8, 128, 1)
        self.layer3_0_conv1 = FusedConv2d(128, 256, 3, stride=2, padding=1, relu=True)
        self.layer3_0_conv2 = FusedConv2d(256, 256, 3, padding=1)
        self.layer3_0_se_fc1 = FusedConv2d(256, 16, 1, relu=True)
        self.layer3_0_se_fc2 = FusedConv2d(16, 256, 1)
        self.layer3_0_downsample_0 = FusedConv2d(
            128, 256, 1, stride=2, relu=True, overwrites=True
        )
        self.layer3_1_conv1 = FusedConv2d(256, 256, 3, padding=1, relu=True)
        self.layer3_1_conv2 = FusedConv2d(256, 256, 3, padding=1)
        self.layer3_1_se_fc1 = FusedConv2d(256, 16, 1, relu=True)
        self.layer3_1_se_fc2 = FusedConv2d(16, 256, 1)
        self.layer4_0_conv1 = FusedConv2d(256, 512, 3, stride=2, padding=1, relu=True)
        self.layer4_0_conv2 = FusedConv2d(512, 512, 3, padding=1)
        self.layer4_0_se_fc1 = FusedConv2d(512, 32, 1, relu=True)
        self.layer4_0_se_fc2 = FusedConv2d(32, 512, 1)
        self.layer4_0_downsample_0 = FusedConv2d(
            256, 512, 1, stride=2, relu=True, overwrites=True
        )
        self.layer4_1_conv1 = FusedConv2d(512, 512, 3, padding=1, relu=True)
        self.layer4_1_conv2 = FusedConv2d(512, 512, 3, padding=1)
        self.layer4_1_se_fc1 = FusedConv2d(512, 32, 1, relu=True)
        self.layer4_1_se_fc2 = FusedConv2d(32, 512, 1)
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cpu and x.shape[0] > 1 and not torch.compiler.is_compiling():
            memory = x.nbytes * 1956864 // (3 * 224 * 224)
            if memory > 2**26:  # bytes; so much is kept from call to call
                half = x.shape[0] // 2
                return torch.cat([self.forward(x[:half]), self.forward(x[half:])])
        x = self.conv1(x)
        x = self.maxpool(x)
        y = self.layer1_0_conv1(x)
        y = self.layer1_0_conv2(y)
        z = self.global_avg_pool(y)
        z = self.layer1_0_se_fc1(z)
        z = self.layer1_0_se_fc2(z)
        z = self.sigmoid(z)
        y = y * z
        x = y + x
        x = self.relu(x)
        y = self.layer1_1_conv1(x)
        y = self.layer1_1_conv2(y)
        z = self.global_avg_pool(y)
        z = self.layer1_1_se_fc1(z)
        z = self.layer1_1_se_fc2(z)
        z = self.sigmoid(z)
        y = y * z
        x = y + x
        x = self.relu(x)
        y = self.layer2_0_conv1(x)
        y = self.layer2_0_conv2(y)
        z = self.global_avg_pool(y)
        z = self.layer2_0_se_fc1(z)
        z = self.layer2_0_se_fc2(z)
        z = self.sigmoid(z)
        y = y * z
        x = self.layer2_0_downsample_0(x, y)
        y = self.layer2_1_conv1(x)
        y = self.layer2_1_conv2(y)
        z = self.global_avg_pool(y)
        z = self.layer2_1_se_fc1(z)
        z = self.layer2_1_se_fc2(z)
        z = self.sigmoid(z)
        y = y * z
        x = y + x
        x = self.relu(x)
        y = self.layer3_0_conv1(x)
        y = self.layer3_0_conv2(y)
        z = self.global_avg_pool(y)
        z = self.layer3_0_se_fc1(z)
        z = self.layer3_0_se_fc2(z)
        z = self.sigmoid(z)
        y = y * z
        x = self.layer3_0_downsample_0(x, y)
        y = self.layer3_1_conv1(x)
        y = self.layer3_1_conv2(y)
        z = self.global_avg_pool(y)
        z = self.layer3_1_se_fc1(z)
        z = self.layer3_1_se_fc2(z)
        z = self.sigmoid(z)
        y = y * z
        x = y + x
        x = self.relu(x)
        y = self.layer4_0_conv1(x)
        y = self.layer4_0_conv2(y)
        z = self.global_avg_pool(y)
        z = self.layer4_0_se_fc1(z)
        z = self.layer4_0_se_fc2(z)
        z = self.sigmoid(z)
        y = y * z
        x = self.layer4_0_downsample_0(x, y)
        y = self.layer4_1_conv1(x)
        y = self.layer4_1_conv2(y)
        z = self.global_avg_pool(y)
        z = self.layer4_1_se_fc1(z)
        z = self.layer4_1_se_fc2(z)
        z = self.sigmoid(z)
        y = y * z
        x = y + x
        x = self.relu(x)
        x = self.global_avg_pool(x)
        x = x.flatten(1)
        x = self.fc(x)
        return x
