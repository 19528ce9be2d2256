"""MobileNet: a network whose width and resolution are yours to choose.

A. G. Howard, M. Zhu, B. Chen, D. Kalenichenko, W. Wang, T. Weyand, M. Andreetto, H. Adam, "MobileNets: Efficient
Convolutional Neural Networks for Mobile Vision Applications", 2017 (arXiv 1704.04861). Depthwise separable
convolutions: section 3.1; the network: table 1; width and resolution: sections 3.3 and 3.4; training: section 3.2;
results: tables 6 and 7.

The paper claims 4.2, 2.6, 1.3 and 0.5 million parameters and 569, 325, 149 and 41 million multiply-adds for widths of
1, 0.75, 0.5 and 0.25, with top-1 accuracies on ImageNet of 70.6, 68.4, 63.7 and 50.6 %; and at width 1 of 69.1, 67.2
and 64.4 % with images of 192, 160 and 128 pixels.

Three forms stand side by side, rows of ``FORMS``; each has a list of what **differs from the paper**: ``"paper"``;
``"keras"``, the default, whose weights are the authors'; and ``"timm"``, trained anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from minicnn import nn
from minicnn.models.architecture import (
    KERAS_NORM,
    PLUS_MINUS_ONE,
    TORCH_NORM,
    Architecture,
    ImageForm,
    ImageNetwork,
    Stage,
)

# --------------------------------------------------------------------------------- table 1

# The first convolution, 3x3; then pairs of a depthwise 3x3 and a pointwise one: maps, stride. (Of the last but one
# depthwise layer the table prints stride 2, but 7x7 maps before and after: a misprint.)
FIRST = (32, 2)
TABLE = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip


def recipe() -> dict[str, Any]:
    """Return how TF-Slim trains it; section 3.2 says RMSprop and little weight decay, and prints no number."""
    return {
        "epochs": 100,
        "batch_size": 64,
        "optimizer": {"name": "RMSprop", "lr": 0.045, "alpha": 0.9, "eps": 1.0, "momentum": 0.9},
        "schedule": {"name": "Step", "every": 2, "factor": 0.94},
    }


# --------------------------------------------------------------------------------- the forms, as data


@dataclass(frozen=True, kw_only=True, repr=False)
class MobileNetForm(ImageForm):
    """A form of MobileNet.

    Attributes
    ----------
    activation : str
    first_padding, strided_padding
        Of the first convolution, and of the depthwise ones with stride 2; the others keep the size.
    dropout : float
        Before the last layer.
    """

    activation: str = "relu6"
    first_padding: Any = "same"
    strided_padding: Any = "same"
    dropout: float = 0.0


PAPER = MobileNetForm(
    name="paper",
    summary="as published in 2017",
    preprocess=PLUS_MINUS_ONE,
    recipe=recipe,
    smallest=1,
    first_weights=nn.init.glorot_2010,
    norm=KERAS_NORM,
    activation="relu",
    differs=(
        ("padding as TensorFlow's, eps 1e-3, first weights by Glorot and Bengio: not printed", "Keras"),
        ("pixels are scaled to -1 .. 1, not printed", "TF-Slim"),
    ),
)  # fmt: skip
KERAS = replace(
    PAPER,
    name="keras",
    summary="as in Keras' weights, the authors'",
    smallest=31,
    activation="relu6",
    strided_padding=((0, 1), (0, 1)),
    dropout=0.001,
    differs=(
        ("ReLU stops at 6", "keras/applications/mobilenet.py; the paper's text says ReLU"),
        ("depthwise layers with stride pad right and bottom, also where the size is odd", "keras, mobilenet.py"),
        ("dropout 0.001 before the last layer", "keras/applications/mobilenet.py"),
        ("the last layer is written as a 1x1 convolution; here it is a Linear", "keras/applications/mobilenet.py"),
    ),
)
TIMM = replace(
    PAPER,
    name="timm",
    summary="as in timm's mobilenetv1_100",
    preprocess=replace(PLUS_MINUS_ONE, corner="nearest", interpolation="bicubic"),
    norm=TORCH_NORM,
    activation="relu6",
    first_padding=1,
    strided_padding=1,
    differs=(
        KERAS.differs[0],
        ("windows are padded by 1 on every side", "timm/models/efficientnet.py"),
        ("batch norm has eps 1e-5", "timm/models/efficientnet.py"),
    ),
)
FORMS = {form.name: form for form in (PAPER, KERAS, TIMM)}

# --------------------------------------------------------------------------------- the network


class MobileNet(ImageNetwork):
    """Table 1, folded into stages ``conv1 separable1 .. separable13 fc``: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    form : str
        ``"paper"``, ``"keras"`` or ``"timm"``.
    width : float
        What the paper calls alpha: all maps are multiplied by it and rounded down. Weights are published for 0.25,
        0.5, 0.75 and 1.
    **options
        Of ``ImageNetwork``.

    Raises
    ------
    OptionError
        If an option is unknown or out of its range.
    """

    form: MobileNetForm

    def __init__(self, form: str = "keras", **options: Any) -> None:
        super().__init__("mobilenet", FORMS, form, **options)
        self.build(self._stages())

    def _stages(self) -> Iterator[Stage]:
        form = self.form
        options: dict[str, Any] = {"norm": form.norm, "activation": form.activation}
        before, stride = self.maps(FIRST[0]), FIRST[1]
        yield "conv1", nn.ConvNorm(self.in_channels, before, 3, stride=stride, padding=form.first_padding, **options)
        for number, (row, stride) in enumerate(TABLE, 1):
            maps = self.maps(row)
            padding = 1 if stride == 1 else form.strided_padding
            yield (
                f"separable{number}",
                nn.Sequential(
                    {
                        "depthwise": nn.ConvNorm(
                            before, before, 3, stride=stride, padding=padding, groups=before, **options
                        ),
                        "pointwise": nn.ConvNorm(before, maps, 1, **options),
                    }
                ),
            )
            before = maps
        yield from self.mean_head(before, form.dropout)


ARCHITECTURES = (Architecture("mobilenet", MobileNet, FORMS, "keras"),)
