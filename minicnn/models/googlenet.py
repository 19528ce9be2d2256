"""GoogLeNet, the first Inception network: filters of several sizes side by side.

C. Szegedy, W. Liu, Y. Jia, P. Sermanet, S. Reed, D. Anguelov, D. Erhan, V. Vanhoucke, A. Rabinovich, "Going Deeper with
Convolutions", CVPR 2015 (arXiv 1409.4842). The module: figure 2b; the network: table 1 and figure 3; the auxiliary
heads and their weight: section 5; training: section 6; results: section 7.

The paper claims a top-5 error of 6.67 % with seven networks and 144 crops of each image, 10.07 % with one of each.

Three forms stand side by side, rows of ``FORMS``; each has a list of what **differs from the paper**:

``"paper"``
    Table 1: 6,998,552 parameters, 13,378,280 with the auxiliary heads.
``"caffe"``
    ``bvlc_googlenet``, whose weights are published.
``"torchvision"``, the default
    A port of TensorFlow's: batch norm, and 3x3 filters where the paper has 5x5; 6,624,904 and 13,004,888 parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from minicnn import nn
from minicnn.data.preprocessing import Preprocessing
from minicnn.models.architecture import (
    CAFFE,
    PLUS_MINUS_ONE,
    Architecture,
    ImageForm,
    ImageNetwork,
    Stage,
    cross_entropy,
)

# --------------------------------------------------------------------------------- the paper's table


class Inception(NamedTuple):
    """A module of table 1: filters of 1x1, of the reduction before 3x3, of 3x3, ..., of the pool's projection."""

    stage: str
    ones: int
    reduce3: int
    threes: int
    reduce5: int
    fives: int
    project: int


class MaxPool(NamedTuple):
    """A maximum of table 1; its window is the form's."""

    stage: str


TABLE: tuple[Inception | MaxPool, ...] = (
    # stage             1x1  r3   3x3  r5  5x5  pool
    Inception("inception_3a", 64, 96, 128, 16, 32, 32),
    Inception("inception_3b", 128, 128, 192, 32, 96, 64),
    MaxPool("pool3"),
    Inception("inception_4a", 192, 96, 208, 16, 48, 64),
    Inception("inception_4b", 160, 112, 224, 24, 64, 64),
    Inception("inception_4c", 128, 128, 256, 24, 64, 64),
    Inception("inception_4d", 112, 144, 288, 32, 64, 64),
    Inception("inception_4e", 256, 160, 320, 32, 128, 128),
    MaxPool("pool4"),
    Inception("inception_5a", 256, 160, 320, 32, 128, 128),
    Inception("inception_5b", 384, 192, 384, 48, 128, 128),
)
HEADS = {"inception_4a": "aux1", "inception_4d": "aux2"}  # section 5: "on top of the output of ..."
AUX_WEIGHT = 0.3


def recipe() -> dict[str, Any]:
    """Return section 6's training: momentum 0.9, the rate falls by 4 % every 8 epochs. It prints no more.

    The first rate, the batch, the decay and the length are those of Caffe's quick_solver.
    """
    return {
        "model": {"aux": True},
        "epochs": 60,
        "batch_size": 32,
        "optimizer": {"name": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0002},
        "schedule": {"name": "Step", "every": 8, "factor": 0.96},
    }


# --------------------------------------------------------------------------------- the forms, as data


@dataclass(frozen=True, kw_only=True, repr=False)
class GoogLeNetForm(ImageForm):
    """A form of GoogLeNet.

    Attributes
    ----------
    response_norm : mapping, optional
        Options of ``LocalResponseNorm`` in the stem.
    big_window : int
        Of the branch called 5x5.
    pool4 : int
        Window of the maximum before inception_5a.
    dropout, aux_dropout : float
        Before the last layer, and before that of an auxiliary head.
    aux_pool : function
        () -> the layer that makes 14x14 maps 4x4 for an auxiliary head.
    """

    response_norm: Mapping[str, Any] | None
    big_window: int
    pool4: int
    dropout: float
    aux_pool: Any
    aux_dropout: float = 0.7


PAPER = GoogLeNetForm(
    name="paper",
    summary="as published in 2014: 6,998,552 parameters",
    preprocess=Preprocessing(size=224, resize=256, mean=(123.0, 117.0, 104.0)),
    recipe=recipe,
    loss=partial(cross_entropy, aux_weight=AUX_WEIGHT),
    smallest=31,
    aux_sizes=(223, 270),
    first_weights=nn.init.glorot_2010,
    response_norm={"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0, "form": "mean"},
    big_window=5,
    pool4=3,
    dropout=0.4,
    aux_pool=partial(nn.AvgPool2d, 5, stride=3),
    differs=(
        ("normalisation as in Caffe, for its numbers are not printed", "Caffe, models/bvlc_googlenet"),
        ("first weights by Glorot and Bengio, not printed", "Caffe, models/bvlc_googlenet"),
        ("one crop; the paper takes 144 of each image", "section 7"),
    ),
)
CAFFE_FORM = replace(
    PAPER,
    name="caffe",
    summary="as in bvlc_googlenet's weights: 6,998,552 parameters",
    preprocess=replace(CAFFE, mean=(104.0, 117.0, 123.0)),
    differs=(*PAPER.differs, ("channels are BGR", "Caffe, models/bvlc_googlenet")),
)
TORCHVISION = GoogLeNetForm(
    name="torchvision",
    summary="as in torchvision's weights, with batch norm: 6,624,904 parameters",
    # Its transform_input undoes ImageNet's mean and deviation and maps pixels to -1 .. 1, as TensorFlow did.
    preprocess=replace(PLUS_MINUS_ONE, corner="nearest"),
    recipe=recipe,
    loss=partial(cross_entropy, aux_weight=AUX_WEIGHT),
    smallest=15,
    first_weights=nn.init.trunc_normal,
    norm={"eps": 1e-3, "momentum": 0.1},
    response_norm=None,
    big_window=3,
    pool4=2,
    dropout=0.2,
    aux_pool=partial(nn.AdaptiveAvgPool2d, 4),
    differs=(
        ("batch norm after each convolution, none of which has a bias; no response normalisation", "TF-Slim"),
        ("the 5x5 filters are 3x3, an error that was trained with", "torchvision issue 906"),
        ("the maximum before inception_5a is 2x2", "torchvision/models/googlenet.py"),
        ("dropout 0.2, not 0.4", "torchvision/models/googlenet.py"),
        ("the auxiliary heads average to 4x4, whatever the size; in the published file they are not trained",
         "torchvision/models/googlenet.py"),
    ),
)  # fmt: skip
FORMS = {form.name: form for form in (PAPER, CAFFE_FORM, TORCHVISION)}

# --------------------------------------------------------------------------------- the network


class GoogLeNet(ImageNetwork):
    """The table, folded into stages ``conv1 .. inception_3a .. inception_5b .. fc``: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    form : str
        ``"paper"``, ``"caffe"`` or ``"torchvision"``.
    aux : bool
        Whether to have the auxiliary heads. In training the output is then a tuple: the logits, theirs, theirs.
    **options
        Of ``ImageNetwork``.

    Raises
    ------
    OptionError
        If an option is unknown or out of its range.
    """

    form: GoogLeNetForm

    def __init__(self, form: str = "torchvision", *, aux: bool = False, **options: Any) -> None:
        super().__init__("googlenet", FORMS, form, **options)
        self.take_heads(HEADS, aux)
        self.build(self._stages())

    def _stages(self) -> Iterator[Stage]:
        form = self.form
        conv = partial(nn.ConvNorm, norm=form.norm)
        norm = form.response_norm and partial(nn.LocalResponseNorm, **form.response_norm)
        yield "conv1", conv(self.in_channels, self.maps(64), 7, stride=2, padding=3)
        yield "pool1", nn.MaxPool2d(3, stride=2, ceil_mode=True)
        if norm:
            yield "norm1", norm()
        yield (
            "conv2",
            nn.Sequential(
                {
                    "reduce": conv(self.maps(64), self.maps(64), 1),
                    "3x3": conv(self.maps(64), self.maps(192), 3, padding=1),
                }
            ),
        )
        if norm:
            yield "norm2", norm()
        yield "pool2", nn.MaxPool2d(3, stride=2, ceil_mode=True)
        before = self.maps(192)
        for row in TABLE:
            if isinstance(row, MaxPool):
                window = form.pool4 if row.stage == "pool4" else 3
                yield row.stage, nn.MaxPool2d(window, stride=2, ceil_mode=True)
                continue
            row = Inception(row.stage, *map(self.maps, row[1:]))
            yield row.stage, _module(row, before, form.big_window, conv)
            before = row.ones + row.threes + row.fives + row.project
            if row.stage in self.heads:
                yield self.heads[row.stage], self._head(form, before, conv)
        yield from self.mean_head(before, form.dropout)

    def _head(self, form: GoogLeNetForm, before: int, conv: Any) -> nn.Module:
        return nn.Sequential(
            {
                "pool": form.aux_pool(),
                "conv": conv(before, self.maps(128), 1),
                "flatten": nn.Flatten(),
                "fc1": nn.Linear(self.maps(128) * 4 * 4, self.maps(1024)),
                "relu": nn.ReLU(),
                "drop": nn.Dropout(form.aux_dropout),
                "fc2": nn.Linear(self.maps(1024), self.num_classes),
            }
        )


def _module(row: Inception, before: int, big: int, conv: Any) -> nn.Branches:
    """Figure 2b: four branches over the same maps."""

    def two(reduced: int, name: str, maps: int, window: int) -> nn.Module:
        layers = {"reduce": conv(before, reduced, 1), name: conv(reduced, maps, window, padding=window // 2)}
        return nn.Sequential(layers)

    pool: dict[str, nn.Module] = {"max": nn.MaxPool2d(3, stride=1, padding=1), "project": conv(before, row.project, 1)}
    return nn.Branches(
        {
            "1x1": conv(before, row.ones, 1),
            "3x3": two(row.reduce3, "3x3", row.threes, 3),
            "5x5": two(row.reduce5, "5x5", row.fives, big),
            "pool": nn.Sequential(pool),
        }
    )


ARCHITECTURES = (Architecture("googlenet", GoogLeNet, FORMS, "torchvision"),)
