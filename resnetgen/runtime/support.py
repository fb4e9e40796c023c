"""Classes that printed modules contain, where PyTorch has no module for an op.

    from resnetgen.runtime.support import BlurPool2d

`compiler/codegen/render.py` prints the text of a class as it is here, so each is complete in itself:
it uses `torch`, `nn` and `Tensor`, and nothing else of this file. `load_plan` imports them.
"""

import torch
from torch import Tensor, nn


class AvgPoolSame1d(nn.Module):
    """An average over a window that keeps the size: zeros stand after the last position."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        after = self.kernel - 1
        x = nn.functional.pad(x, (0, after))
        return nn.functional.avg_pool1d(x, self.kernel, stride=1)


class AvgPoolSame2d(nn.Module):
    """An average over a window that keeps the size: zeros stand after the last position."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        after = self.kernel - 1
        x = nn.functional.pad(x, (0, after, 0, after))
        return nn.functional.avg_pool2d(x, self.kernel, stride=1)


class AvgPoolSame3d(nn.Module):
    """An average over a window that keeps the size: zeros stand after the last position."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        after = self.kernel - 1
        x = nn.functional.pad(x, (0, after, 0, after, 0, after))
        return nn.functional.avg_pool3d(x, self.kernel, stride=1)


class BlurPool1d(nn.Module):
    """Blurs each channel by a binomial filter and strides (arXiv 1904.11486)."""

    filter: Tensor

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride
        taps = torch.tensor([0.25, 0.5, 0.25])
        taps = taps.repeat(channels, 1, 1)
        self.register_buffer("filter", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (1, 1), mode="reflect")
        groups = self.channels
        return nn.functional.conv1d(x, self.filter, stride=self.stride, groups=groups)


class BlurPool2d(nn.Module):
    """Blurs each channel by a binomial filter and strides (arXiv 1904.11486)."""

    filter: Tensor

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride
        taps = torch.tensor([0.25, 0.5, 0.25])
        taps = taps[:, None] * taps
        taps = taps.repeat(channels, 1, 1, 1)
        self.register_buffer("filter", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
        groups = self.channels
        return nn.functional.conv2d(x, self.filter, stride=self.stride, groups=groups)


class BlurPool3d(nn.Module):
    """Blurs each channel by a binomial filter and strides (arXiv 1904.11486)."""

    filter: Tensor

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride
        taps = torch.tensor([0.25, 0.5, 0.25])
        taps = taps[:, None, None] * taps[:, None] * taps
        taps = taps.repeat(channels, 1, 1, 1, 1)
        self.register_buffer("filter", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (1, 1, 1, 1, 1, 1), mode="reflect")
        groups = self.channels
        return nn.functional.conv3d(x, self.filter, stride=self.stride, groups=groups)


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


class FusedConv1d(nn.Conv1d):
    """A convolution, then an addition and a ReLU. Weights are loaded, so none are drawn."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
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


class ScaleShift1d(nn.Module):
    """Scales and shifts each channel: what a norm does that no convolution took in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(channels, 1))
        self.shift = nn.Parameter(torch.empty(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x, self.scale)


class ScaleShift2d(nn.Module):
    """Scales and shifts each channel: what a norm does that no convolution took in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(channels, 1, 1))
        self.shift = nn.Parameter(torch.empty(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x, self.scale)


class ScaleShift3d(nn.Module):
    """Scales and shifts each channel: what a norm does that no convolution took in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(channels, 1, 1, 1))
        self.shift = nn.Parameter(torch.empty(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x, self.scale)
