"""Inception v3: large filters taken apart into rows and columns.

C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna, "Rethinking the Inception Architecture for Computer Vision",
CVPR 2016 (arXiv 1512.00567). The modules: figures 5, 6 and 7, the reduction: figure 10; the network: table 1; label
smoothing: section 7; training: section 8.

The paper claims a top-1 error of 21.2 % and a top-5 error of 5.6 % with one crop. What everybody calls Inception v3 is
the authors' later code, from which the two forms descend; table 1 differs from it in details. Rows of ``FORMS``:

``"torchvision"``, the default
    The authors' weights, converted: 23,834,568 parameters, 27,161,264 with the auxiliary head.
``"keras"``
    The authors' layers, trained by Keras: batch norm without a scale, 23,817,352 trainable parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from minicnn import nn
from minicnn.models.architecture import (
    KERAS_NORM,
    PLUS_MINUS_ONE,
    Architecture,
    ImageForm,
    ImageNetwork,
    Stage,
    cross_entropy,
)

# --------------------------------------------------------------------------------- the table

ROW, COLUMN = (1, 7), (7, 1)  # figure 6: 7x7 filters as a row of seven after a column of seven

# Each module: branches by name, each a chain of convolutions (window, filters[, stride]) that keep the size unless they
# have a stride; "mean" and "max" are 3x3 pools, the latter with stride 2; a dict in a chain is a fork.
MODULES: dict[str, dict[str, list[Any]]] = {
    **{
        f"mixed_5{letter}": {
            "1x1": [(1, 64)],
            "5x5": [(1, 48), (5, 64)],
            "3x3dbl": [(1, 64), (3, 96), (3, 96)],
            "pool": ["mean", (1, projected)],
        }
        for letter, projected in (("b", 32), ("c", 64), ("d", 64))
    },
    "mixed_6a": {"3x3": [(3, 384, 2)], "3x3dbl": [(1, 64), (3, 96), (3, 96, 2)], "pool": ["max"]},
    **{
        f"mixed_6{letter}": {
            "1x1": [(1, 192)],
            "7x7": [(1, maps), (ROW, maps), (COLUMN, 192)],
            "7x7dbl": [(1, maps), (COLUMN, maps), (ROW, maps), (COLUMN, maps), (ROW, 192)],
            "pool": ["mean", (1, 192)],
        }
        for letter, maps in (("b", 128), ("c", 160), ("d", 160), ("e", 192))
    },
    "mixed_7a": {
        "3x3": [(1, 192), (3, 320, 2)],
        "7x7x3": [(1, 192), (ROW, 192), (COLUMN, 192), (3, 192, 2)],
        "pool": ["max"],
    },
    **{
        f"mixed_7{letter}": {
            "1x1": [(1, 320)],
            "3x3": [(1, 384), {"row": [((1, 3), 384)], "column": [((3, 1), 384)]}],
            "3x3dbl": [(1, 448), (3, 384), {"row": [((1, 3), 384)], "column": [((3, 1), 384)]}],
            "pool": ["mean", (1, 192)],
        }
        for letter in "bc"
    },
}
HEADS = {"mixed_6e": "aux1"}
AUX_WEIGHT = 0.4


def recipe() -> dict[str, Any]:
    """Return section 8's training: RMSprop with decay 0.9 and eps 1; the rate falls by 6 % every two epochs.

    The authors also clip gradients at 2 and smooth labels by 0.1 (section 7), which is left out here.
    """
    return {
        "model": {"aux": True},
        "epochs": 100,
        "batch_size": 32,
        "optimizer": {"name": "RMSprop", "lr": 0.045, "alpha": 0.9, "eps": 1.0},
        "schedule": {"name": "Step", "every": 2, "factor": 0.94},
    }


# --------------------------------------------------------------------------------- the forms, as data


@dataclass(frozen=True, kw_only=True, repr=False)
class InceptionForm(ImageForm):
    """A form of Inception v3.

    Attributes
    ----------
    dropout : float
        Before the last layer.
    counts_border : bool
        Whether the means at the border count the zeros outside the image.
    """

    dropout: float
    counts_border: bool


TORCHVISION = InceptionForm(
    name="torchvision",
    summary="the authors' weights as torchvision has them: 23,834,568 parameters",
    # Its transform_input undoes ImageNet's mean and deviation and maps pixels to -1 .. 1, as TensorFlow did.
    preprocess=replace(PLUS_MINUS_ONE, size=299, resize=342, corner="nearest"),
    recipe=recipe,
    loss=partial(cross_entropy, aux_weight=AUX_WEIGHT),
    smallest=75,
    aux_sizes=(299, 100_000),
    first_weights=partial(nn.init.trunc_normal, std=0.1),
    norm={"eps": 1e-3, "momentum": 0.1},
    dropout=0.5,
    counts_border=True,
    differs=(
        ("the modules are those of the authors' code, not of table 1", "TF-Slim, nets/inception_v3.py"),
        ("dropout 0.5, not 0.2", "torchvision/models/inception.py"),
        ("means at the border count zeros outside, though the weights were trained without", "torchvision, PyTorch"),
        ("the auxiliary loss counts 0.4 times; the paper prints no number", "TF-Slim, slim/train_image_classifier.py"),
    ),
)
KERAS = replace(
    TORCHVISION,
    name="keras",
    summary="as in Keras' weights: 23,817,352 trainable parameters",
    preprocess=replace(TORCHVISION.preprocess, corner="down"),
    first_weights=nn.init.glorot_2010,
    norm={**KERAS_NORM, "scale": False},
    dropout=0.0,
    counts_border=False,
    differs=(
        TORCHVISION.differs[0],
        ("no dropout", "keras/applications/inception_v3.py"),
        ("batch norm has no scale", "keras/applications/inception_v3.py"),
        TORCHVISION.differs[3],
    ),
)
FORMS = {form.name: form for form in (TORCHVISION, KERAS)}

# --------------------------------------------------------------------------------- the network


class InceptionV3(ImageNetwork):
    """The modules, folded into stages ``conv1a .. mixed_5b .. mixed_7c .. fc``: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    form : str
        ``"torchvision"`` or ``"keras"``.
    aux : bool
        Whether to have the auxiliary head. In training the output is then a tuple: the logits, and its own.
    **options
        Of ``ImageNetwork``.

    Raises
    ------
    OptionError
        If an option is unknown or out of its range.
    """

    form: InceptionForm

    def __init__(self, form: str = "torchvision", *, aux: bool = False, **options: Any) -> None:
        super().__init__("inception_v3", FORMS, form, **options)
        self.take_heads(HEADS, aux)
        self.build(self._stages())

    def _stages(self) -> Iterator[Stage]:
        form = self.form
        conv, maps = partial(nn.ConvNorm, norm=form.norm), self.maps
        yield "conv_1a", conv(self.in_channels, maps(32), 3, stride=2)
        yield "conv_2a", conv(maps(32), maps(32), 3)
        yield "conv_2b", conv(maps(32), maps(64), 3, padding=1)
        yield "pool_3a", nn.MaxPool2d(3, stride=2)
        yield "conv_3b", conv(maps(64), maps(80), 1)
        yield "conv_4a", conv(maps(80), maps(192), 3)
        yield "pool_5a", nn.MaxPool2d(3, stride=2)
        before = maps(192)
        for stage, branches in MODULES.items():
            module, before = self._fork(branches, before, form)
            yield stage, module
            if stage in self.heads:
                yield self.heads[stage], self._head(before, conv)
        yield from self.mean_head(before, form.dropout)

    def _head(self, before: int, conv: Any) -> nn.Module:
        return nn.Sequential(
            {
                "pool": nn.AvgPool2d(5, stride=3),
                "conv1": conv(before, self.maps(128), 1),
                "conv2": conv(self.maps(128), self.maps(768), 5),
                "mean": nn.AdaptiveAvgPool2d(1),
                "flatten": nn.Flatten(),
                "fc": nn.Linear(self.maps(768), self.num_classes),
            }
        )

    def _fork(self, branches: dict[str, list[Any]], before: int, form: InceptionForm) -> tuple[nn.Branches, int]:
        """Make the branches; also return how many maps they give together."""
        chains = {name: self._chain(parts, before, form) for name, parts in branches.items()}
        return nn.Branches({name: chain for name, (chain, _) in chains.items()}), sum(n for _, n in chains.values())

    def _chain(self, parts: list[Any], before: int, form: InceptionForm) -> tuple[nn.Module, int]:
        layers: dict[str, nn.Module] = {}
        for place, part in enumerate(parts, 1):
            if part == "mean":
                layers["mean"] = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=form.counts_border)
            elif part == "max":
                layers["max"] = nn.MaxPool2d(3, stride=2)
            elif isinstance(part, dict):
                layers["fork"], before = self._fork(part, before, form)
            else:
                window, count, *stride = part
                sides = (window, window) if isinstance(window, int) else window
                layers[f"conv{place}"] = nn.ConvNorm(
                    before, self.maps(count), window, norm=form.norm,
                    stride=stride[0] if stride else 1, padding=0 if stride else (sides[0] // 2, sides[1] // 2),
                )  # fmt: skip
                before = self.maps(count)
        return (next(iter(layers.values())) if len(layers) == 1 else nn.Sequential(layers)), before


ARCHITECTURES = (Architecture("inception_v3", InceptionV3, FORMS, "torchvision"),)
