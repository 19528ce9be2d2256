"""The layers of the seven networks, as the papers' tables give them: what the benchmarks measure.

Each network is a walk: ``net.conv(64, 3)`` notes a layer and moves on to its output. Equal layers are measured once.

    >>> from layers import layers
    >>> [str(layer) for layer in layers() if layer.op == "conv2d"][0]
    'conv2d 64x1x32x32 * 6x1x5x5'

Where published weights are of another form than the paper (stride of ResNet-50's bottleneck, symmetric padding), their
form is taken, for that is what runs; GoogLeNet and AlexNet are the papers', for their LRN, 5x5 filters and groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

from minicnn.kernels.geometry import output_size

Shape = tuple[int, ...]


@dataclass
class Layer:
    """One call of an op: the shapes of its arrays (input, weight, bias) and its options, which PyTorch names alike."""

    op: str
    shapes: tuple[Shape, ...]
    options: dict[str, Any]
    networks: list[str] = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        arrays = " * ".join("x".join(map(str, shape)) for shape in self.shapes if len(shape) > 1)
        return " ".join([self.op, arrays, *(f"{name} {value}" for name, value in self.options.items())])

    @property
    def weighted(self) -> bool:
        """Whether the second array is a weight that is multiplied with the first."""
        return self.op in ("conv2d", "depthwise_conv2d", "linear")

    @property
    def group(self) -> str:
        """The row of ``REQUIRED`` that it belongs to, or its op."""
        weight = self.shapes[1] if len(self.shapes) > 1 else ()
        if self.op == "conv2d":
            stride, window = self.options.get("stride", 1), weight[2:]
            if window == (1, 1):
                return "1x1"
            plain = window == (3, 3) and stride == 1 and "groups" not in self.options
            return "3x3 stride 1" if plain and 64 <= min(weight[:2]) <= max(weight[:2]) <= 512 else "other windows"
        if self.op == "linear":
            return "linear 9216x4096" if weight == (4096, 9216) else "linear"
        if self.op == "batch_norm2d":
            return "batch norm + ReLU" if "activation" in self.options else "batch norm"
        return GROUPS.get(self.op, self.op)


# What the layers of a group must reach: PyTorch's time / ours, forward and all gradients.
REQUIRED = {
    "3x3 stride 1": (1.8, 1.4),  # of 64 to 512 channels
    "1x1": (1.05, 1.0),
    "other windows": (1.0, 1.0),  # 3x3 stride 2, 5x5, 7x7/2, 11x11/4, few channels, groups
    "depthwise 3x3": (1.5, 1.5),
    "max pool": (1.5, 1.5),
    "average pool": (1.5, 1.5),
    "batch norm + ReLU": (1.5, 1.5),
    "LRN": (1.5, 1.5),
    "ReLU": (1.5, 1.5),
    "cross-entropy": (1.5, 1.5),
    "linear 9216x4096": (1.0, 1.0),
}
GROUPS = {
    "depthwise_conv2d": "depthwise 3x3",
    "max_pool2d": "max pool",
    "avg_pool2d": "average pool",
    "adaptive_avg_pool2d": "average pool",
    "local_response_norm": "LRN",
    "relu": "ReLU",
    "relu6": "ReLU",
    "cross_entropy": "cross-entropy",
}


class Network:
    """A walk through a network: ``shape`` is what the next layer reads, ``layers`` what was met so far."""

    def __init__(self, *shape: int) -> None:
        self.shape: Shape = shape
        self.layers: list[Layer] = []

    def note(self, op: str, *weights: Shape, out: Shape | None = None, **options: Any) -> Network:
        """Note a layer and go to its output; options that are 0 or False go without saying."""
        self.layers.append(Layer(op, (self.shape, *weights), {name: value for name, value in options.items() if value}))
        self.shape = self.shape if out is None else out
        return self

    def window(self, channels: int, kernel: int, stride: int, padding: int, ceil_mode: bool = False) -> Shape:
        """Return the shape that a sliding window gives."""
        pads: dict[str, Any] = {"stride": stride, "before": padding, "after": padding, "ceil_mode": ceil_mode}
        return (self.shape[0], channels, *(output_size(size, kernel, **pads) for size in self.shape[2:]))

    def conv(
        self,
        c_out: int,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        *,
        bias: bool = False,
        groups: int = 1,
    ) -> Network:
        """Note a convolution that keeps the input's size, but for its stride, if no padding is given."""
        padding = kernel // 2 if padding is None else padding
        weights = (c_out, self.shape[1] // groups, kernel, kernel), *([(c_out,)] if bias else [])
        out = self.window(c_out, kernel, stride, padding)
        return self.note(
            "conv2d", *weights, out=out, stride=stride > 1 and stride, padding=padding, groups=groups > 1 and groups
        )

    def depthwise(self, stride: int = 1) -> Network:
        c = self.shape[1]
        out = self.window(c, 3, stride, 1)
        return self.note("depthwise_conv2d", (c, 1, 3, 3), out=out, stride=stride > 1 and stride, padding=1)

    def bn(self, activation: str = "", residual: bool = False) -> Network:
        """Note batch norm in training; with it the sum and the activation that follow at once."""
        c = self.shape[1]
        return self.note("batch_norm2d", (c,), (c,), *[self.shape] * residual, activation=activation)

    def relu(self) -> Network:
        return self.note("relu")

    def lrn(self) -> Network:
        return self.note("local_response_norm", size=5, alpha=1e-4, beta=0.75)

    def max_pool(self, kernel: int, stride: int, padding: int = 0, *, ceil_mode: bool = False) -> Network:
        out = self.window(self.shape[1], kernel, stride, padding, ceil_mode)
        options = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
        return self.note("max_pool2d", out=out, **options)

    def avg_pool(self, kernel: int, stride: int) -> Network:
        out = self.window(self.shape[1], kernel, stride, 0)
        return self.note("avg_pool2d", out=out, kernel_size=kernel, stride=stride)

    def global_pool(self) -> Network:
        return self.note("adaptive_avg_pool2d", out=(*self.shape[:2], 1, 1), output_size=1)

    def linear(self, *widths: int, batches: tuple[int, ...] = (1, 32)) -> Network:
        """Note fully connected layers at batch 1 and 32: as one classifies, and as one trains."""
        features = prod(self.shape[1:])
        for width in widths:
            for batch in batches:
                self.shape = (batch, features)
                self.note("linear", (width, features), (width,))
            features = width
        return self

    def loss(self, batch: int, classes: int) -> Network:
        self.shape = (batch, classes)
        return self.note("softmax", dim=1).note("cross_entropy")


def lenet5(net: Network) -> None:
    for activation in ("relu", "scaled_tanh"):  # the modern form, and the paper's
        net.shape = (64, 1, 32, 32)
        net.conv(6, 5, padding=0, bias=True).note(activation).max_pool(2, 2)
        net.conv(16, 5, padding=0, bias=True).note(activation).max_pool(2, 2)
        net.conv(120, 5, padding=0, bias=True).note(activation).linear(84, 10, batches=(64,)).loss(64, 10)


def alexnet(net: Network) -> None:
    """As in 2012, cut in two for two GPUs, with LRN; then torchvision's, which runs more often."""
    n = net.shape[0]
    net.conv(96, 11, 4, 0, bias=True).relu().lrn().max_pool(3, 2)
    net.conv(256, 5, bias=True, groups=2).relu().lrn().max_pool(3, 2).conv(384, 3, bias=True).relu()
    net.conv(384, 3, bias=True, groups=2).relu().conv(256, 3, bias=True, groups=2).relu()
    net.max_pool(3, 2).linear(4096, 4096, 1000).loss(128, 1000)
    net.shape = (n, 3, 224, 224)
    net.conv(64, 11, 4, 2, bias=True).relu().max_pool(3, 2).conv(192, 5, bias=True).relu().max_pool(3, 2)
    net.conv(384, 3, bias=True).relu().conv(256, 3, bias=True).relu().conv(256, 3, bias=True).relu().max_pool(3, 2)


def vgg16(net: Network) -> None:
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            net.conv(width, 3, bias=True).relu()
        net.max_pool(2, 2)
    net.linear(4096, 4096, 1000)


INCEPTION = """
    3a  64  96 128 16  32  32
    3b 128 128 192 32  96  64
    4a 192  96 208 16  48  64
    4b 160 112 224 24  64  64
    4c 128 128 256 24  64  64
    4d 112 144 288 32  64  64
    4e 256 160 320 32 128 128
    5a 256 160 320 32 128 128
    5b 384 192 384 48 128 128
"""  # of each module: 1x1 | 3x3 reduce, 3x3 | 5x5 reduce, 5x5 | behind the pool


def googlenet(net: Network) -> None:
    net.conv(64, 7, 2, bias=True).relu().max_pool(3, 2, ceil_mode=True).lrn()
    net.conv(64, 1, bias=True).relu().conv(192, 3, bias=True).relu().lrn().max_pool(3, 2, ceil_mode=True)
    for row in INCEPTION.strip().split("\n"):
        name, *widths = row.split()
        c1, r3, c3, r5, c5, proj = map(int, widths)
        if name in ("4a", "5a"):
            net.max_pool(3, 2, ceil_mode=True)
        if name in ("4b", "4e"):  # the auxiliary heads
            entry = net.shape
            net.avg_pool(5, 3).conv(128, 1, bias=True).relu()
            net.shape = entry
        n, _, h, w = entry = net.shape
        for branch in ((c1, 1), (r3, 1, c3, 3), (r5, 1, c5, 5)):
            net.shape = entry
            for c_out, kernel in zip(branch[::2], branch[1::2], strict=True):
                net.conv(c_out, kernel, bias=True).relu()
        net.shape = entry
        net.max_pool(3, 1, 1).conv(proj, 1, bias=True).relu()
        net.note("concat", (n, c3, h, w), (n, c5, h, w), (n, proj, h, w), out=(n, c1 + c3 + c5 + proj, h, w), dim=1)
    net.global_pool().linear(1000)


def resnet(net: Network, blocks: tuple[int, ...], bottleneck: bool) -> None:
    net.conv(64, 7, 2).bn("relu").max_pool(3, 2, 1)
    for stage, count in enumerate(blocks):
        width = 64 << stage
        c_out = 4 * width if bottleneck else width
        for block in range(count):
            entry, stride = net.shape, 2 if stage and not block else 1
            if entry[1] != c_out or stride == 2:
                net.conv(c_out, 1, stride).bn()
                net.shape = entry
            if bottleneck:
                net.conv(width, 1).bn("relu").conv(width, 3, stride).bn("relu").conv(c_out, 1)
            else:
                net.conv(width, 3, stride).bn("relu").conv(width, 3)
            net.bn("relu", residual=True)
    net.global_pool().linear(1000)


def xception(net: Network) -> None:
    def separable(*widths: int) -> None:
        for width in widths:
            net.depthwise().conv(width, 1).bn("relu")

    net.conv(32, 3, 2, 0).bn("relu").conv(64, 3, 1, 0).bn("relu")
    for widths in ((128, 128), (256, 256), (728, 728), *[(728, 728, 728)] * 8, (728, 1024)):
        entry = net.shape
        separable(*widths)
        if len(widths) == 2:
            net.max_pool(3, 2, 1)
            out, net.shape = net.shape, entry
            net.conv(widths[-1], 1, 2).bn()
            net.shape = out
        net.note("add", net.shape)
    separable(1536, 2048)
    net.global_pool().linear(1000)


def mobilenet(net: Network) -> None:
    net.conv(32, 3, 2).bn("relu6")
    for width, stride in (
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1),
    ):  # fmt: skip
        net.depthwise(stride).bn("relu6").conv(width, 1).bn("relu6")
    net.global_pool().linear(1000)


NETWORKS: dict[str, tuple[Callable[[Network], None], int]] = {  # the walk, and the size of its images
    "lenet5": (lenet5, 32),
    "alexnet": (alexnet, 227),
    "vgg16": (vgg16, 224),
    "googlenet": (googlenet, 224),
    "resnet18": (partial(resnet, blocks=(2, 2, 2, 2), bottleneck=False), 224),
    "resnet50": (partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True), 224),
    "xception": (xception, 299),
    "mobilenet": (mobilenet, 224),
}


def layers(batch: int = 4) -> list[Layer]:
    """Return the layers of all networks, equal ones once, ``batch`` images each (LeNet-5: 64 digits)."""
    found: dict[str, Layer] = {}
    for name, (walk, size) in NETWORKS.items():
        net = Network(batch, 3, size, size)
        walk(net)
        for layer in net.layers:
            networks = found.setdefault(repr(layer), layer).networks
            if name not in networks:
                networks.append(name)
    return list(found.values())
