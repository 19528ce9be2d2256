"""AlexNet, which brought convolutional networks back.

A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS
2012. The network: section 3.5 and figure 2; local response normalisation: 3.3; overlapping pools: 3.4; augmentation
and dropout: section 4; training and first weights: section 5.

The paper claims 60 million parameters, and on ILSVRC-2010 top-1 and top-5 errors of 37.5 % and 17.0 %; on the
validation set of ILSVRC-2012 one such network has 40.7 % and 18.2 %.

Four forms stand side by side, rows of ``FORMS``; each has a list of what **differs from the paper**:

``"paper"``
    Two groups, as the network was cut in half for two GPUs: 60,965,224 parameters.
``"ungrouped"``
    The same on one device, every filter of conv2, conv4 and conv5 sees all maps: 62,378,344 parameters.
``"caffe"``
    ``bvlc_alexnet``, whose weights are published.
``"torchvision"``, the default
    Another network by the same author ("One weird trick for parallelizing convolutional neural networks", 2014), with
    fewer maps and no normalisation: 61,100,840 parameters. Its weights are published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minicnn import nn
from minicnn.data.preprocessing import Preprocessing
from minicnn.models.architecture import CAFFE, TORCH, Architecture, ImageForm, ImageNetwork, Stage

# --------------------------------------------------------------------------------- the paper's table


class Row(NamedTuple):
    """A convolution of figure 2; ``norm`` and ``pool``: whether normalisation and a 3x3/2 maximum follow."""

    stage: str
    maps: int
    window: int
    stride: int
    padding: int
    groups: int
    norm: bool
    pool: bool


PAPER_TABLE = (
    # stage  maps window stride pad groups norm pool
    Row("conv1", 96, 11, 4, 0, 1, True, True),
    Row("conv2", 256, 5, 1, 2, 2, True, True),
    Row("conv3", 384, 3, 1, 1, 1, False, False),
    Row("conv4", 384, 3, 1, 1, 2, False, False),
    Row("conv5", 256, 3, 1, 1, 2, False, True),
)
ONE_WEIRD_TRICK = (
    Row("conv1", 64, 11, 4, 2, 1, False, True),
    Row("conv2", 192, 5, 1, 2, 1, False, True),
    Row("conv3", 384, 3, 1, 1, 1, False, False),
    Row("conv4", 256, 3, 1, 1, 1, False, False),
    Row("conv5", 256, 3, 1, 1, 1, False, True),
)
FULL = {"fc6": 4096, "fc7": 4096}
LAST_MAP = 6  # height and width of what the fully connected layers see

# Section 5: these layers' biases start at 1, so that their ReLUs have something to learn from at once; the rest at 0.
BIASES_OF_ONE = ("conv2", "conv4", "conv5", "fc6", "fc7")


def recipe() -> dict[str, Any]:
    """Return section 5's training: 90 epochs; the rate was divided by ten three times, when the error stayed."""
    return {
        "epochs": 90,
        "batch_size": 128,
        "optimizer": {"name": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005},
        "schedule": {"name": "Step", "every": 23, "factor": 0.1},
    }


# --------------------------------------------------------------------------------- the forms, as data


@dataclass(frozen=True, kw_only=True, repr=False)
class AlexNetForm(ImageForm):
    """A form of AlexNet.

    Attributes
    ----------
    table : rows of convolutions
    response_norm : mapping
        Options of ``LocalResponseNorm``.
    adaptive : bool
        Whether the last maps are averaged to 6x6, so that images of other sizes fit.
    drops_input : bool
        Whether dropout stands before fc6 and fc7, and not after them.
    """

    table: tuple[Row, ...]
    response_norm: Mapping[str, Any]
    adaptive: bool = False
    drops_input: bool = False


PAPER = AlexNetForm(
    name="paper",
    summary="as published in 2012, in two groups: 60,965,224 parameters",
    preprocess=Preprocessing(size=227, resize=256, mean=(123.68, 116.779, 103.939)),
    recipe=recipe,
    smallest=67,
    fixed=True,
    first_weights=partial(nn.init.normal, std=0.01),
    table=PAPER_TABLE,
    response_norm={"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0, "form": "sum"},
    differs=(
        ("images are 227 x 227: the text says 224, but 55 x 55 maps need 227", "arithmetic of section 3.5"),
        ("a mean colour is subtracted, not a mean image", "the mean image is not printed"),
        ("dropout divides in training, where the paper halves in the test: the same expectation", "section 4.2"),
    ),
)
UNGROUPED = replace(
    PAPER,
    name="ungrouped",
    summary="as published, but in one group: 62,378,344 parameters",
    table=tuple(row._replace(groups=1) for row in PAPER_TABLE),
    differs=(*PAPER.differs, ("conv2, conv4 and conv5 see all maps", "one device holds the network today")),
)
CAFFE_FORM = replace(
    PAPER,
    name="caffe",
    summary="as in bvlc_alexnet's weights: 60,965,224 parameters",
    preprocess=replace(CAFFE, size=227),
    response_norm={"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0, "form": "mean"},
    differs=(
        *PAPER.differs[:2],
        ("channels are BGR", "Caffe, models/bvlc_alexnet"),
        ("normalisation has k = 1 and divides alpha by 5", "Caffe, models/bvlc_alexnet/train_val.prototxt"),
    ),
)
TORCHVISION = AlexNetForm(
    name="torchvision",
    summary="as in torchvision's weights, fewer maps and no normalisation: 61,100,840 parameters",
    preprocess=TORCH,
    recipe=recipe,
    smallest=63,
    first_weights=partial(nn.init.normal, std=0.01),
    table=ONE_WEIRD_TRICK,
    response_norm={},
    adaptive=True,
    drops_input=True,
    differs=(
        ("64, 192, 384, 256, 256 maps in one group", "Krizhevsky 2014, arXiv 1404.5997, footnote 1"),
        ("conv4 has 256 maps where that footnote says 384", "torchvision issue 704"),
        ("no local response normalisation", "torchvision/models/alexnet.py"),
        ("conv1 is padded by 2, so that images are 224 x 224", "torchvision/models/alexnet.py"),
        ("the last maps are averaged to 6 x 6, so that other sizes fit", "torchvision/models/alexnet.py"),
        ("dropout before fc6 and fc7, not after them", "torchvision issue 549"),
    ),
)
FORMS = {form.name: form for form in (PAPER, UNGROUPED, CAFFE_FORM, TORCHVISION)}

# --------------------------------------------------------------------------------- the network


class AlexNet(ImageNetwork):
    """The table, folded into stages ``conv1 .. conv5 fc6 fc7 fc8``: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    form : str
        ``"paper"``, ``"ungrouped"``, ``"caffe"`` or ``"torchvision"``.
    **options
        Of ``ImageNetwork``.

    Raises
    ------
    OptionError
        If an option is unknown or out of its range.
    """

    form: AlexNetForm

    def __init__(self, form: str = "torchvision", **options: Any) -> None:
        super().__init__("alexnet", FORMS, form, **options)
        self.build(self._stages())
        for stage, module in self.named_children():
            for name, parameter in module.named_parameters():
                if stage in BIASES_OF_ONE and name.endswith("bias"):
                    nn.init.fill(parameter, np.ones(parameter.shape))

    def _stages(self) -> Iterator[Stage]:
        form, before = self.form, self.in_channels
        groups = max(row.groups for row in form.table)
        for row in form.table:
            maps = self.maps(row.maps, groups)
            layers: dict[str, nn.Module] = {
                "conv": nn.Conv2d(
                    before, maps, row.window, stride=row.stride, padding=row.padding, groups=row.groups,
                    activation="relu",
                )
            }  # fmt: skip
            if row.norm:
                layers["norm"] = nn.LocalResponseNorm(**form.response_norm)
            if row.pool:
                layers["pool"] = nn.MaxPool2d(3, stride=2)
            yield row.stage, nn.Sequential(layers)
            before = maps
        yield from self.full_head(
            before, LAST_MAP, FULL, "fc8", adaptive=form.adaptive, dropout=0.5, drops_input=form.drops_input
        )


ARCHITECTURES = (Architecture("alexnet", AlexNet, FORMS, "torchvision"),)
