"""Xception: first where, then what; every convolution depthwise separable.

F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017 (arXiv 1610.02357). The network:
figure 5; batch norm after every convolution, and no activation within a separable one: sections 3 and 4.7; training:
section 4.3; results: table 1; sizes: table 3.

The paper claims 22,855,952 parameters, and on ILSVRC-2012's validation set, one crop, top-1 and top-5 accuracies of
79.0 and 94.5 %.

Three forms stand side by side, rows of ``FORMS``; each has a list of what **differs from the paper**: ``"paper"``;
``"keras"``, the default, the author's own code and weights; and ``"timm"``, another code that has these weights,
converted, and departs from them at borders and in batch norm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import minicnn.functional as F
from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.models.architecture import (
    KERAS_NORM,
    PLUS_MINUS_ONE,
    TORCH_NORM,
    Architecture,
    ImageForm,
    ImageNetwork,
    Stage,
)

# --------------------------------------------------------------------------------- figure 5


class Row(NamedTuple):
    """A block: the maps of its separable convolutions; whether a 3x3/2 maximum ends it; what goes around it."""

    stage: str
    maps: tuple[int, ...]
    pool: bool
    shortcut: str  # "conv": 1x1, stride 2; "input"; "none"
    starts_with_relu: bool


STEM = (("conv1", 32, 2), ("conv2", 64, 1))  # 3x3, maps, stride
TABLE = (
    # entry flow
    Row("block2", (128, 128), True, "conv", False),
    Row("block3", (256, 256), True, "conv", True),
    Row("block4", (728, 728), True, "conv", True),
    # middle flow, eight times
    *(Row(f"block{number}", (728, 728, 728), False, "input", True) for number in range(5, 13)),
    # exit flow
    Row("block13", (728, 1024), True, "conv", True),
    Row("block14", (1536, 2048), False, "none", False),
)


def recipe() -> dict[str, Any]:
    """Return section 4.3's training on ImageNet; its length and its batch are not printed.

    The author also averages the weights over time (Polyak), which is left out here.
    """
    return {
        "epochs": 120,
        "batch_size": 32,
        "optimizer": {"name": "SGD", "lr": 0.045, "momentum": 0.9, "weight_decay": 1e-5},
        "schedule": {"name": "Step", "every": 2, "factor": 0.94},
    }


# --------------------------------------------------------------------------------- the forms, as data


@dataclass(frozen=True, kw_only=True, repr=False)
class XceptionForm(ImageForm):
    """A form of Xception.

    Attributes
    ----------
    dropout : float
        Before the last layer.
    pool_padding : "same" or int
        Of the blocks' maxima.
    """

    dropout: float = 0.0
    pool_padding: Any = "same"


KERAS = XceptionForm(
    name="keras",
    summary="as in Keras' weights, the author's",
    preprocess=replace(PLUS_MINUS_ONE, size=299, resize=341),
    recipe=recipe,
    smallest=7,
    first_weights=nn.init.glorot_2010,
    norm=KERAS_NORM,
    differs=(
        ("no dropout", "keras/applications/xception.py"),
        ("first weights by Glorot and Bengio, not printed", "Keras' default"),
    ),
)
PAPER = replace(KERAS, name="paper", summary="as published in 2016", dropout=0.5, differs=KERAS.differs[1:])
TIMM = replace(
    KERAS,
    name="timm",
    summary="as in timm's legacy_xception: Keras' weights in a code that differs",
    preprocess=replace(PLUS_MINUS_ONE, size=299, resize=333, corner="nearest", interpolation="bicubic"),
    norm=TORCH_NORM,
    pool_padding=1,
    differs=(
        *KERAS.differs,
        ("batch norm has eps 1e-5, though the weights were trained with 1e-3", "timm/models/xception.py"),
        ("maxima are padded by 1 on every side, also where TensorFlow pads one side", "timm/models/xception.py"),
    ),
)
FORMS = {form.name: form for form in (PAPER, KERAS, TIMM)}

# --------------------------------------------------------------------------------- blocks


class Separable(nn.Module):
    """A depthwise 3x3 convolution, then a pointwise one with batch norm; the first has no activation (section 4.7)."""

    def __init__(self, before: int, maps: int, norm: Mapping[str, Any] | None, activation: str | None) -> None:
        self.depthwise = nn.DepthwiseConv2d(before, 3, padding=1, bias=False)
        self.pointwise = nn.ConvNorm(before, maps, 1, norm=norm, activation=activation)

    def forward(self, input: Tensor, *residual: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(input), *residual)  # type: ignore[no-any-return]


class Block(nn.Module):
    """A row of figure 5. A ReLU before a convolution is done by the one before it, where there is one."""

    def __init__(self, row: Row, before: int, form: XceptionForm) -> None:
        self.shortcut = (
            nn.ConvNorm(before, row.maps[-1], 1, stride=2, norm=form.norm, activation=None)
            if row.shortcut == "conv"
            else None
        )
        self.relu = nn.ReLU() if row.starts_with_relu else None
        layers: dict[str, nn.Module] = {}
        inner = before
        for place, maps in enumerate(row.maps, 1):
            ends = place == len(row.maps) and row.shortcut != "none"
            layers[f"separable{place}"] = Separable(inner, maps, form.norm, None if ends else "relu")
            inner = maps
        self.layers = nn.Sequential(layers)
        self.pool = nn.MaxPool2d(3, stride=2, padding=form.pool_padding) if row.pool else None
        self.adds = row.shortcut != "none"

    def forward(self, input: Tensor) -> Tensor:
        x = input if self.relu is None else self.relu(input)
        *before, last = self.layers
        for layer in before:
            x = layer(x)
        if self.pool is None:
            return last(x, *[input] * self.adds)  # type: ignore[no-any-return]
        return F.add(self.pool(last(x)), self.shortcut(input))  # type: ignore[misc]


# --------------------------------------------------------------------------------- the network


class Xception(ImageNetwork):
    """Figure 5, folded into stages ``conv1 conv2 block2 .. block14 fc``: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    form : str
        ``"paper"``, ``"keras"`` or ``"timm"``.
    **options
        Of ``ImageNetwork``.

    Raises
    ------
    OptionError
        If an option is unknown or out of its range.
    """

    form: XceptionForm

    def __init__(self, form: str = "keras", **options: Any) -> None:
        super().__init__("xception", FORMS, form, **options)
        self.build(self._stages())

    def _stages(self) -> Iterator[Stage]:
        form = self.form
        before = self.in_channels
        for stage, count, stride in STEM:
            maps = self.maps(count)
            yield stage, nn.ConvNorm(before, maps, 3, stride=stride, norm=form.norm)
            before = maps
        for row in TABLE:
            row = row._replace(maps=tuple(map(self.maps, row.maps)))
            yield row.stage, Block(row, before, form)
            before = row.maps[-1]
        yield from self.mean_head(before, form.dropout)


ARCHITECTURES = (Architecture("xception", Xception, FORMS, "keras"),)
