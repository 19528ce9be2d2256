"""ResNet: layers that learn what to add to their input.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv 1512.03385). The
blocks: figures 2 and 5; the networks for ImageNet: table 1; shortcuts A, B, C: section 3.3 and table 3; training:
section 3.4; the networks for CIFAR-10: section 4.2 and table 6. Blocks that start with batch norm ("V2"): the same
authors, "Identity Mappings in Deep Residual Networks", ECCV 2016 (arXiv 1603.05027), figure 1b.

The paper claims top-1 errors on ILSVRC-2012's validation set, ten crops, of 25.03 % (34 layers, shortcuts A), 24.52
(B), 24.19 (C), 22.85 (50), 21.75 (101) and 21.43 (152); on CIFAR-10 8.75 % (20), 7.51, 7.17, 6.97 and 6.43 % (110).

Forms stand side by side, rows of ``FORMS`` and ``CIFAR_FORMS``; each has a list of what **differs from the paper**:

``"paper"``
    Table 1; a bottleneck that makes maps smaller does so in its first 1x1 convolution.
``"torchvision"``, the default for ImageNet
    It does so in the 3x3 convolution ("v1.5").
``"caffe"``
    The authors' own weights.
``"keras"``, ``"keras_v2"``
    Keras' weights: biases and another eps; and the blocks that start with batch norm.
``"akamaster"``, for CIFAR-10
    Y. Idelbayev's weights, which are published; ``"paper"`` is the default there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.data.preprocessing import Preprocessing
from minicnn.functional import check
from minicnn.models.architecture import (
    CAFFE,
    KERAS_NORM,
    PLUS_MINUS_ONE,
    TORCH,
    TORCH_NORM,
    Architecture,
    ImageForm,
    ImageNetwork,
    Stage,
)

# --------------------------------------------------------------------------------- the paper's tables

# Table 1: the kind of block, and how many in each stage.
IMAGENET = {
    # layers       conv2_x 3 4 5
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
MAPS = {"conv2_x": 64, "conv3_x": 128, "conv4_x": 256, "conv5_x": 512}

# Section 4.2: 6n + 2 layers, three stages of n blocks.
CIFAR = {layers: ("basic", ((layers - 2) // 6,) * 3) for layers in (20, 32, 44, 56, 110, 1202)}
CIFAR_MAPS = {"stage1": 16, "stage2": 32, "stage3": 64}

EXPANSION = {"basic": 1, "bottleneck": 4}  # maps that a block gives, as a multiple of those within


def recipe() -> dict[str, Any]:
    """Return section 3.4's training: 600,000 steps; the rate was divided by ten when the error stayed."""
    return {
        "epochs": 120,
        "batch_size": 256,
        "optimizer": {"name": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0001},
        "schedule": {"name": "Step", "every": 30, "factor": 0.1},
    }


def cifar_recipe(layers: int) -> dict[str, Any]:
    """Return section 4.2's training: 64,000 steps of 128 images, a tenth of the rate after 32,000 and 48,000.

    In epochs of 45,000 images. With 110 layers and more the rate is a tenth until the training error is below 80 %,
    which takes about 400 steps.
    """
    rows = [[91, 1.0], [46, 0.1], [45, 0.01]]
    return {
        "epochs": 182,
        "batch_size": 128,
        "optimizer": {"name": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0001},
        "schedule": {"name": "Table", "rows": rows if layers < 110 else [[1, 0.1], [90, 1.0], *rows[1:]]},
    }


# --------------------------------------------------------------------------------- the forms, as data


@dataclass(frozen=True, kw_only=True, repr=False)
class ResNetForm(ImageForm):
    """A form of ResNet.

    Attributes
    ----------
    shortcut : str
        By default; see ``Shortcut``.
    stride_in : int
        Which convolution of a bottleneck has the stride: 1 or 2.
    bias : bool
        Whether convolutions have biases although batch norm follows.
    preactivated : bool
        Whether blocks start with batch norm and ReLU, and the stride stands at the end of a stage.
    padded_with_zeros : bool
        Whether the stem's maximum sees zeros at the border, and not nothing.
    rounded_up : bool
        Whether it has no border at all, and its last windows end outside.
    centred : bool
        Whether the zero maps of a shortcut A stand on both sides of the input's, and not after them.
    """

    shortcut: str = "B"
    stride_in: int = 1
    bias: bool = False
    preactivated: bool = False
    padded_with_zeros: bool = False
    rounded_up: bool = False
    centred: bool = False


PAPER = ResNetForm(
    name="paper",
    summary="as published in 2015",
    preprocess=Preprocessing(size=224, resize=256, mean=(123.68, 116.779, 103.939)),
    recipe=recipe,
    smallest=1,
    norm=TORCH_NORM,
    first_weights=partial(nn.init.he_2015, mode="fan_out"),
    differs=(
        ("a mean colour is subtracted, not a mean image", "the mean image is not printed"),
        ("the running variance is the unbiased one, eps is 1e-5: not printed", "PyTorch"),
        ("shortcuts B everywhere, as in the deeper networks; option shortcut=", "section 4.1, table 3"),
    ),
)
CAFFE_FORM = replace(
    PAPER,
    name="caffe",
    summary="as in the authors' weights (ResNet-50-model.caffemodel, 101, 152)",
    preprocess=CAFFE,
    smallest=3,
    rounded_up=True,
    differs=(
        *PAPER.differs,
        ("channels are BGR", "KaimingHe/deep-residual-networks, README.md"),
        ("the stem's maximum has no border, its size is rounded up", "ResNet-50-deploy.prototxt, pool1"),
    ),
)
TORCHVISION = replace(
    PAPER,
    name="torchvision",
    summary="as in torchvision's weights: a bottleneck's 3x3 convolution has the stride",
    preprocess=TORCH,
    stride_in=2,
    differs=(
        ("a bottleneck's 3x3 convolution has the stride, not its first 1x1", "torchvision/models/resnet.py"),
        ("pixels are scaled to a standard deviation of 1", "torchvision, ResNet50_Weights.IMAGENET1K_V1"),
    ),
)
KERAS = replace(
    PAPER,
    name="keras",
    summary="as in Keras' weights: biases, and eps 1.001e-5",
    preprocess=CAFFE,
    norm={**KERAS_NORM, "eps": 1.001e-5},
    first_weights=nn.init.glorot_2010,
    bias=True,
    padded_with_zeros=True,
    differs=(
        ("convolutions have biases", "keras/applications/resnet.py"),
        ("batch norm has eps 1.001e-5 and the biased running variance", "keras/applications/resnet.py"),
        ("the stem's maximum sees zeros at the border", "keras/applications/resnet.py, pool1_pad"),
        ("channels are BGR", "keras/applications/resnet.py, preprocess_input"),
    ),
)
KERAS_V2 = replace(
    KERAS,
    name="keras_v2",
    summary="as in Keras' weights of ResNet V2: blocks start with batch norm",
    preprocess=PLUS_MINUS_ONE,
    preactivated=True,
    differs=(
        ("blocks start with batch norm and ReLU", "He et al. 2016, arXiv 1603.05027"),
        ("the last block of a stage has the stride, its shortcut takes every other pixel", "keras, resnet.py, stack2"),
        ("the stem ends with a convolution; its maximum sees zeros at the border", "keras, resnet.py, pool1_pad"),
        ("only the last convolution of a block and those of shortcuts have biases", "keras, resnet.py, block2"),
        KERAS.differs[1],
    ),
)  # fmt: skip
FORMS = {form.name: form for form in (PAPER, CAFFE_FORM, TORCHVISION, KERAS, KERAS_V2)}
FORMS_OF_BASIC = {form.name: form for form in (PAPER, TORCHVISION)}  # Keras has no weights for 18 and 34 layers

CIFAR_PAPER = replace(
    PAPER,
    summary="as published in 2015, for images of 32 x 32 and ten classes",
    preprocess=Preprocessing(size=32, mean=(125.3, 123.0, 113.9)),
    classes="cifar10",
    shortcut="A",
    differs=PAPER.differs[:2],
)
AKAMASTER = replace(
    CIFAR_PAPER,
    name="akamaster",
    summary="as in Y. Idelbayev's weights for CIFAR-10",
    preprocess=replace(TORCH, size=32, resize=None),
    centred=True,
    differs=(
        ("the zero maps of a shortcut stand on both sides of the input's", "akamaster/pytorch_resnet_cifar10"),
        ("pixels are scaled to ImageNet's mean and deviation", "akamaster/pytorch_resnet_cifar10"),
    ),
)
CIFAR_FORMS = {form.name: form for form in (CIFAR_PAPER, AKAMASTER)}

# --------------------------------------------------------------------------------- blocks


class Shortcut(nn.Module):
    """The way around a block that changes the size, without weights: section 3.3, A.

    Parameters
    ----------
    extra : int
        Maps of zeros to add to those of the input.
    stride : int
        Take every ``stride``-th pixel.
    centred : bool
        Whether the zeros stand on both sides of the input's maps, and not after them.
    """

    def __init__(self, extra: int, stride: int, *, centred: bool = False) -> None:
        self.extra, self.stride, self.centred = extra, stride, centred

    def forward(self, input: Tensor) -> Tensor:
        x = input[:, :, :: self.stride, :: self.stride]
        n, _, h, w = x.shape
        first = self.extra // 2 if self.centred else 0
        maps = (first, self.extra - first)
        zeros = [np.zeros((n, count, h, w), x.dtype) for count in maps]
        return F.concat([zeros[0], x, zeros[1]], 1) if self.extra else x


class Residual(nn.Module):
    """Figures 2 and 5: layers, and a way around them; both are added before the last activation.

    Parameters
    ----------
    layers : mapping of name to Module
        The last one takes a residual connection.
    shortcut : Module, optional
        None for the input itself.
    first : Module, optional
        In V2, what stands before the layers and before a shortcut with weights.
    """

    def __init__(
        self, layers: Mapping[str, nn.Module], shortcut: nn.Module | None, first: nn.Module | None = None
    ) -> None:
        self.first = first
        self.layers = nn.Sequential(layers)
        self.shortcut = shortcut

    def forward(self, input: Tensor) -> Tensor:
        x = input if self.first is None else self.first(input)
        *before, last = self.layers
        out = x
        for layer in before:
            out = layer(out)
        weighted = self.shortcut is not None and not isinstance(self.shortcut, Shortcut)
        around = x if weighted else input
        return last(out, around if self.shortcut is None else self.shortcut(around))  # type: ignore[no-any-return]


def _block(kind: str, before: int, within: int, stride: int, form: ResNetForm, shortcut: str) -> Residual:
    """Make one block; ``shortcut`` is A, B or C."""
    maps = within * EXPANSION[kind]
    conv = partial(nn.ConvNorm, norm=form.norm, bias=form.bias and not form.preactivated)
    if kind == "basic":
        layers: dict[str, nn.Module] = {
            "conv1": conv(before, within, 3, stride=stride, padding=1),
            "conv2": conv(within, maps, 3, padding=1),
        }
    else:
        strides = (stride, 1) if form.stride_in == 1 and not form.preactivated else (1, stride)
        layers = {
            "conv1": conv(before, within, 1, stride=strides[0]),
            "conv2": conv(within, within, 3, stride=strides[1], padding=1),
            "conv3": nn.Conv2d(within, maps, 1) if form.preactivated else conv(within, maps, 1),
        }
    around: nn.Module | None = None
    if shortcut == "C" or (shortcut == "B" and maps != before):
        around = (
            nn.Conv2d(before, maps, 1, stride=stride)
            if form.preactivated
            else conv(before, maps, 1, stride=stride, activation=None)
        )
    elif stride > 1 or maps != before:
        around = Shortcut(maps - before, stride, centred=form.centred)
    first = nn.BatchNorm2d(before, **form.norm, activation="relu") if form.preactivated and form.norm else None
    return Residual(layers, around, first)


# --------------------------------------------------------------------------------- the networks


class ResNet(ImageNetwork):
    """The tables, folded into stages ``conv1 conv2_x .. conv5_x fc``: (N, C, H, W) -> (N, classes).

    For CIFAR-10 they are ``conv1 stage1 stage2 stage3 fc``.

    Parameters
    ----------
    layers : int
        With weights: 18, 34, 50, 101, 152; for CIFAR-10 20, 32, 44, 56, 110, 1202.
    form : str
        ``"paper"``, ``"caffe"``, ``"torchvision"``, ``"keras"`` or ``"keras_v2"``; for CIFAR-10 ``"paper"`` or
        ``"akamaster"``.
    shortcut : {"A", "B", "C"}, optional
        Around blocks that change the size: zeros for missing maps (A), a 1x1 convolution (B); or such a convolution
        around every block (C).
    **options
        Of ``ImageNetwork``.

    Raises
    ------
    OptionError
        If an option is unknown or out of its range.
    """

    form: ResNetForm

    def __init__(
        self,
        layers: int,
        form: str = "torchvision",
        *,
        shortcut: str | None = None,
        **options: Any,
    ) -> None:
        self.for_cifar = layers in CIFAR
        if self.for_cifar:
            options = {"num_classes": 10, **options}
        super().__init__(f"resnet{layers}", forms_of(layers), form, **options)
        if self.for_cifar and form == "paper":
            self.form = replace(self.form, recipe=partial(cifar_recipe, layers))
        self.shortcut = check.choice(
            self.name, "shortcut", self.form.shortcut if shortcut is None else shortcut, ("A", "B", "C")
        )
        self.build(self._stages(layers))

    def _stages(self, layers: int) -> Iterator[Stage]:
        form = self.form
        kind, counts = CIFAR[layers] if self.for_cifar else IMAGENET[layers]
        table = CIFAR_MAPS if self.for_cifar else MAPS
        maps = {stage: self.maps(count) for stage, count in table.items()}
        before = next(iter(maps.values()))
        window, stride = (3, 1) if self.for_cifar else (7, 2)
        if form.preactivated:
            yield "conv1", nn.Conv2d(self.in_channels, before, window, stride=stride, padding=window // 2)
        else:
            yield (
                "conv1",
                nn.ConvNorm(
                    self.in_channels, before, window, stride=stride, padding=window // 2, norm=form.norm, bias=form.bias
                ),
            )
        for place, ((stage, within), count) in enumerate(zip(maps.items(), counts, strict=True)):
            modules: dict[str, nn.Module] = {}
            if stage == "conv2_x":
                pads = 0 if form.padded_with_zeros or form.rounded_up else 1
                modules |= {"pad": nn.Pad(1, 1, 1, 1)} if form.padded_with_zeros else {}
                modules["pool"] = nn.MaxPool2d(3, stride=2, padding=pads, ceil_mode=form.rounded_up)
            # In V2 the last block of all stages but the last has the stride, else the first of all but the first.
            strided = (count if place + 1 < len(maps) else 0) if form.preactivated else (1 if place else 0)
            for number in range(1, count + 1):
                modules[f"block{number}"] = _block(
                    kind, before, within, 2 if number == strided else 1, form, self.shortcut
                )
                before = within * EXPANSION[kind]
            yield stage, nn.Sequential(modules)
        if form.preactivated and form.norm:
            yield "norm", nn.BatchNorm2d(before, **form.norm, activation="relu")
        yield from self.mean_head(before)


def forms_of(layers: int) -> Mapping[str, ResNetForm]:
    """Return the forms of the network with so many layers."""
    return CIFAR_FORMS if layers in CIFAR else FORMS_OF_BASIC if IMAGENET[layers][0] == "basic" else FORMS


ARCHITECTURES = tuple(
    Architecture(
        f"resnet{layers}", partial(ResNet, layers), forms_of(layers), "paper" if layers in CIFAR else "torchvision"
    )
    for layers in (*IMAGENET, *CIFAR)
)
