"""VGG: nothing but 3x3 filters, in five blocks.

K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015
(arXiv 1409.1556). The configurations: table 1; their parameters: table 2; training: section 3.1; results with one
scale: table 3.

The paper claims 133, 133, 134, 138 and 144 million parameters for A, B, C, D and E, and with images of one scale (256)
top-1 errors on ILSVRC-2012's validation set of 29.6, 28.7, 28.1, 27.0 and 27.3 %.

vgg11 is configuration A, vgg13 B, vgg16 D and vgg19 E; ``configuration="A-LRN"`` of vgg11 and ``"C"`` of vgg16 are the
other two columns. Four forms stand side by side, rows of ``FORMS``; each has a list of what **differs from the
paper**: ``"paper"``, ``"caffe"`` and ``"keras"`` (the authors' own weights), and ``"torchvision"``, the default, which
was trained anew. vgg11_bn to vgg19_bn, which the paper does not have, are torchvision's: a batch norm after each
convolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from minicnn import nn
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import OptionError, nearest
from minicnn.models.architecture import CAFFE, TORCH, TORCH_NORM, Architecture, ImageForm, ImageNetwork, Stage

# --------------------------------------------------------------------------------- the paper's table

# Table 1, a column a line: conv<window>-<maps>, ReLU understood; | is a 2x2 maximum, and so is the end.
CONFIGURATIONS = {
    "A": "conv3-64 | conv3-128 | conv3-256 conv3-256 | conv3-512 conv3-512 | conv3-512 conv3-512",
    "A-LRN": "conv3-64 LRN | conv3-128 | conv3-256 conv3-256 | conv3-512 conv3-512 | conv3-512 conv3-512",
    "B": "conv3-64 conv3-64 | conv3-128 conv3-128 | conv3-256 conv3-256 | conv3-512 conv3-512 | conv3-512 conv3-512",
    "C": "conv3-64 conv3-64 | conv3-128 conv3-128 | conv3-256 conv3-256 conv1-256 | conv3-512 conv3-512 conv1-512 "
    "| conv3-512 conv3-512 conv1-512",
    "D": "conv3-64 conv3-64 | conv3-128 conv3-128 | conv3-256 conv3-256 conv3-256 | conv3-512 conv3-512 conv3-512 "
    "| conv3-512 conv3-512 conv3-512",
    "E": "conv3-64 conv3-64 | conv3-128 conv3-128 | conv3-256 conv3-256 conv3-256 conv3-256 "
    "| conv3-512 conv3-512 conv3-512 conv3-512 | conv3-512 conv3-512 conv3-512 conv3-512",
}
OF_DEPTH = {11: ("A", "A-LRN"), 13: ("B",), 16: ("D", "C"), 19: ("E",)}  # the first is the default
FULL = {"fc1": 4096, "fc2": 4096}
LAST_MAP = 7  # height and width of what the fully connected layers see

# "as in [Krizhevsky et al. 2012]", section 2.1
LRN = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0, "form": "sum"}


def recipe() -> dict[str, Any]:
    """Return section 3.1's training: 74 epochs; the rate was divided by ten three times, when the accuracy stayed."""
    return {
        "epochs": 74,
        "batch_size": 256,
        "optimizer": {"name": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005},
        "schedule": {"name": "Step", "every": 19, "factor": 0.1},
    }


# --------------------------------------------------------------------------------- the forms, as data


@dataclass(frozen=True, kw_only=True, repr=False)
class VGGForm(ImageForm):
    """A form of VGG.

    Attributes
    ----------
    dropout : float
        After fc1 and fc2.
    adaptive : bool
        Whether the last maps are averaged to 7x7, so that images of other sizes fit.
    """

    dropout: float = 0.5
    adaptive: bool = False


PAPER = VGGForm(
    name="paper",
    summary="as published in 2014",
    preprocess=Preprocessing(size=224, resize=256, mean=(123.68, 116.779, 103.939)),
    recipe=recipe,
    smallest=32,
    fixed=True,
    first_weights=partial(nn.init.glorot_2010, distribution="normal"),
    differs=(
        ("first weights by Glorot and Bengio, as the authors advise instead of starting from a trained A", "3.1"),
        ("one crop from the middle; the paper runs the network over the whole image", "section 3.2"),
    ),
)
CAFFE_FORM = replace(
    PAPER,
    name="caffe",
    summary="as in the authors' weights (VGG_ILSVRC_16_layers, 19)",
    preprocess=CAFFE,
    differs=(*PAPER.differs, ("channels are BGR", "VGG_ILSVRC_16_layers_deploy.prototxt")),
)
KERAS = replace(
    CAFFE_FORM,
    name="keras",
    summary="the authors' weights as Keras has them",
    dropout=0.0,
    differs=(*CAFFE_FORM.differs, ("no dropout", "keras/applications/vgg16.py")),
)
TORCHVISION = replace(
    PAPER,
    name="torchvision",
    summary="as in torchvision's weights",
    preprocess=TORCH,
    fixed=False,
    first_weights=partial(nn.init.he_2015, mode="fan_out"),
    adaptive=True,
    differs=(
        PAPER.differs[1],
        ("the last maps are averaged to 7 x 7, so that other sizes fit", "torchvision/models/vgg.py"),
        ("first weights by He et al. 2015, fan-out", "torchvision/models/vgg.py"),
        ("pixels are scaled to a standard deviation of 1", "torchvision, VGG16_Weights.IMAGENET1K_V1"),
    ),
)
WITH_NORM = replace(
    TORCHVISION,
    norm=TORCH_NORM,
    summary="as in torchvision's weights, with batch norm",
    differs=(*TORCHVISION.differs, ("a batch norm after each convolution", "torchvision/models/vgg.py")),
)
FORMS = {form.name: form for form in (PAPER, CAFFE_FORM, KERAS, TORCHVISION)}
FORMS_WITH_NORM = {"torchvision": WITH_NORM}

# --------------------------------------------------------------------------------- the network


class VGG(ImageNetwork):
    """A column of the table, folded into stages ``block1 .. block5 fc1 fc2 fc3``: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    depth : int
        11, 13, 16 or 19 layers with weights.
    with_norm : bool
        Whether a batch norm follows each convolution.
    form : str
        ``"paper"``, ``"caffe"``, ``"keras"`` or ``"torchvision"``.
    configuration : str, optional
        A column of table 1 with that depth.
    **options
        Of ``ImageNetwork``.

    Raises
    ------
    OptionError
        If an option is unknown or out of its range.
    """

    form: VGGForm

    def __init__(
        self,
        depth: int,
        with_norm: bool,
        form: str = "torchvision",
        *,
        configuration: str | None = None,
        **options: Any,
    ) -> None:
        name = f"vgg{depth}_bn" if with_norm else f"vgg{depth}"
        super().__init__(name, FORMS_WITH_NORM if with_norm else FORMS, form, **options)
        known = OF_DEPTH[depth]
        self.configuration = known[0] if configuration is None else configuration
        if self.configuration not in known:
            raise OptionError(
                f"{name}: configuration must be one of {', '.join(map(repr, known))}, got {configuration!r}"
                f"{nearest(configuration, known)}"
            )
        self.build(self._stages())

    def _stages(self) -> Iterator[Stage]:
        form, before = self.form, self.in_channels
        for number, column in enumerate(CONFIGURATIONS[self.configuration].split("|"), 1):
            block: dict[str, nn.Module] = {}
            for place, cell in enumerate(column.split(), 1):
                if cell == "LRN":
                    block["norm"] = nn.LocalResponseNorm(**LRN)  # type: ignore[arg-type]
                    continue
                window, count = map(int, cell.removeprefix("conv").split("-"))
                maps = self.maps(count)
                block[f"conv{place}"] = nn.ConvNorm(
                    before, maps, window, padding=window // 2, norm=form.norm, bias=True
                )
                before = maps
            block["pool"] = nn.MaxPool2d(2)
            yield f"block{number}", nn.Sequential(block)
        yield from self.full_head(before, LAST_MAP, FULL, "fc3", adaptive=form.adaptive, dropout=form.dropout)


ARCHITECTURES = tuple(
    Architecture(
        name=f"vgg{depth}" + "_bn" * with_norm,
        build=partial(VGG, depth, with_norm),
        forms=FORMS_WITH_NORM if with_norm else FORMS,
        default="torchvision",
    )
    for with_norm in (False, True)
    for depth in OF_DEPTH
)
