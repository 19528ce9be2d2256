"""What every architecture declares of itself, as data: its forms, and the class that builds them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn import nn
from minicnn.autograd import Array, Tensor, no_grad
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import MiniCNNError, OptionError, ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.nn import Module

# --------------------------------------------------------------------------------- what the network's outputs mean


def logits(outputs: Any) -> Any:
    """Return the network's own logits: where auxiliary heads spoke too, they come after it in a tuple."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


def cross_entropy(outputs: Any, targets: Any, *, aux_weight: float = 0.0) -> Tensor:
    """Mean cross entropy of the logits; that of each auxiliary head is added ``aux_weight`` times."""
    loss = F.cross_entropy(logits(outputs), targets)
    for other in outputs[1:] if isinstance(outputs, tuple) else ():
        loss = loss + F.cross_entropy(other, targets) * aux_weight
    return loss


def likeliest(outputs: Any) -> Array:
    """Return the class with the largest logit, (N,)."""
    best: Array = np.argmax(np.asarray(logits(outputs)), axis=1)
    return best


def softmax(outputs: Any) -> Array:
    """Return the probabilities of the classes, (N, classes)."""
    with no_grad():
        return F.softmax(logits(outputs), -1).numpy()


# --------------------------------------------------------------------------------- forms


@dataclass(frozen=True, kw_only=True, repr=False)
class Form:
    """One form of an architecture: what stands around the network when it is trained and used.

    Attributes
    ----------
    name, summary : str
    preprocess : function
        uint8 images (N, H, W) or (N, C, H, W) -> float32 array (N, C, H, W), as the network wants them.
    recipe : function
        () -> how to train it, as a fresh dict that JSON can hold: ``epochs``, ``batch_size``, and the ``name`` and
        options of the ``optimizer`` (in ``minicnn.train``) and the ``schedule`` (in ``minicnn.train.schedules``).
    loss : function
        (outputs, class indices) -> Tensor of one number.
    predict : function
        outputs -> array (N,) of class indices.
    probabilities : function
        outputs -> array (N, classes) whose rows sum to 1.
    classes : str
        Which data set's classes it tells apart; see ``data.classes``.
    differs : list of (what, source)
        How it differs from the paper, and where one can read that.
    """

    name: str
    summary: str
    preprocess: Callable[[Any], Array]
    recipe: Callable[[], dict[str, Any]]
    loss: Callable[[Any, Any], Tensor] = cross_entropy
    predict: Callable[[Any], Array] = likeliest
    probabilities: Callable[[Any], Array] = softmax
    classes: str = "digits"
    differs: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return repr(self.name)


@dataclass(frozen=True, kw_only=True, repr=False)
class ImageForm(Form):
    """A form of a network for photos.

    Attributes
    ----------
    preprocess : Preprocessing
        Its ``size`` is the network's own resolution.
    smallest : int
        Height and width of the smallest image that reaches the last stage before the head.
    fixed : bool
        Whether the head was made for ``preprocess.size`` alone: fully connected layers that know every place.
    aux_sizes : (smallest, largest), optional
        Heights and widths of images for which the auxiliary heads were made.
    first_weights : function
        The rule of ``nn.init`` for all weights; biases start at 0.
    norm : mapping, optional
        Options of every ``BatchNorm2d``; None for a network without.
    """

    preprocess: Preprocessing
    smallest: int
    fixed: bool = False
    aux_sizes: tuple[int, int] | None = None
    first_weights: Callable[..., Array] = nn.init.he_2015
    classes: str = "imagenet"
    norm: Mapping[str, Any] | None = None


Stage = tuple[str, nn.Module]

# Batch norm as the frameworks have it by default: Keras' 0.99 is the weight of the old values.
TORCH_NORM = {"eps": 1e-5, "momentum": 0.1}
KERAS_NORM = {"eps": 1e-3, "momentum": 0.01, "unbiased": False}

# What ImageNet's photos undergo. Caffe's means are those of the training set, for pixels 0 .. 255.
CAFFE = Preprocessing(size=224, resize=256, order="BGR", mean=(103.939, 116.779, 123.68))
TORCH = Preprocessing(
    size=224, resize=256, corner="nearest", scale=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
PLUS_MINUS_ONE = Preprocessing(size=224, resize=256, scale=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


# What becomes of the last maps: one number of each.
POOLS: dict[str, Callable[[], nn.Module]] = {
    "avg": lambda: nn.Sequential({"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}),
    "max": lambda: nn.Sequential({"max": nn.GlobalMaxPool2d(), "flatten": nn.Flatten()}),
}


def pooling_stage(name: str, pooling: str | None, include_top: bool) -> dict[str, nn.Module]:
    """Return the stage that a network without its top ends with, if any.

    Raises
    ------
    OptionError
        If there is no such pooling, or the network keeps its top.
    """
    if pooling is None:
        return {}
    check.choice(name, "pooling", pooling, tuple(POOLS))
    if include_top:
        raise OptionError(f"{name}: pooling is for include_top=False, got {pooling!r} with include_top=True")
    return {"pool": POOLS[pooling]()}


class ImageNetwork(nn.Sequential):
    """Named stages one after the other: (N, C, H, W) -> logits (N, classes), or without the top the last maps.

    An architecture is a subclass, whose ``__init__`` ends with ``self.build(stages)``.

    Parameters
    ----------
    name, forms, form
        Of the architecture.
    in_channels, num_classes : int
        How many channels go in, and logits come out.
    include_top : bool
        False: the last maps come out, and images of other sizes are welcome.
    pooling : {"avg", "max"}, optional
        With ``include_top=False``: one number of each of the last maps comes out, (N, C).
    size : int, optional
        Height and width of the images that ``form.preprocess`` makes; by default the form's own.
    width : float
        The share of all maps, rounded down: MobileNet's alpha, for every network.

    Attributes
    ----------
    form : ImageForm
        With ``preprocess`` for this network's ``size`` and ``in_channels``.

    Raises
    ------
    OptionError
        If an option is unknown or out of its range.
    """

    form: Any  # an ImageForm; a subclass has its own kind
    heads: Mapping[str, str] = {}

    def __init__(
        self,
        name: str,
        forms: Mapping[str, ImageForm],
        form: str,
        *,
        in_channels: int = 3,
        num_classes: int = 1000,
        include_top: bool = True,
        pooling: str | None = None,
        size: int | None = None,
        width: float = 1.0,
    ) -> None:
        self.name = name
        design = forms[check.choice(name, "form", form, tuple(forms))]
        self.in_channels = check.integer(name, "in_channels", in_channels, 1)
        self.num_classes = check.integer(name, "num_classes", num_classes, 1)
        self.include_top = check.flag(name, "include_top", include_top)
        self.pooling = pooling
        self.width = check.number(name, "width", width, 0.0)
        self.own_size = design.preprocess.size
        self.size = self.own_size if size is None else check.integer(name, "size", size, 1)
        self.form = replace(design, preprocess=design.preprocess.at(self.size, self.in_channels))
        self._check_size("size", (self.size, self.size), OptionError)

    # ------------------------------------------------------------------------------- building it

    def build(self, stages: Iterator[Stage]) -> None:
        """Take the stages as they are made; their layers start with the form's first weights."""
        with nn.init.using(self.form.first_weights):
            for name, stage in (*stages, *pooling_stage(self.name, self.pooling, self.include_top).items()):
                self.add_module(name, stage)

    def maps(self, count: int, multiple_of: int = 1) -> int:
        """Return how many maps (or units) this network has where the table says ``count``: at least one."""
        return max(int(count * self.width) // multiple_of, 1) * multiple_of

    def mean_head(self, before: int, dropout: float = 0.0) -> Iterator[Stage]:
        """Make the top of the later networks: the mean of each map, dropout, one fully connected layer."""
        if self.include_top:
            yield "pool", POOLS["avg"]()
            if dropout:
                yield "drop", nn.Dropout(dropout)
            yield "fc", nn.Linear(before, self.num_classes)

    def full_head(
        self, before: int, side: int, units: Mapping[str, int], last: str,
        *, adaptive: bool, dropout: float, drops_input: bool = False,
    ) -> Iterator[Stage]:  # fmt: skip
        """Make the top of the early networks: fully connected layers over ``side`` x ``side`` maps, with dropout."""
        if self.include_top:
            pool: dict[str, nn.Module] = {"pool": nn.AdaptiveAvgPool2d(side)} if adaptive else {}
            yield "flatten", nn.Sequential(pool | {"flatten": nn.Flatten()})
            before *= side**2
            for stage, count in units.items():
                layers: dict[str, nn.Module] = {"linear": nn.Linear(before, self.maps(count)), "relu": nn.ReLU()}
                drop: dict[str, nn.Module] = {"drop": nn.Dropout(dropout)} if dropout else {}
                yield stage, nn.Sequential(drop | layers if drops_input else layers | drop)
                before = self.maps(count)
            yield last, nn.Linear(before, self.num_classes)

    def take_heads(self, heads: Mapping[str, str], aux: bool) -> None:
        """Keep ``aux`` and, if it is True, at which stages which auxiliary heads speak: ``{stage: head}``."""
        self.aux = check.flag(self.name, "aux", aux)
        self.heads = dict(heads) if aux else {}
        self._check_aux_size("size", (self.size, self.size), OptionError)

    # ------------------------------------------------------------------------------- running it

    def forward(self, input: Input) -> Any:
        x = check.images(self.name, input)
        if x.shape[1] != self.in_channels:
            raise ShapeError(f"{self.name}: images must have C = {self.in_channels} channels, got shape {x.shape}")
        self._check_size("images", x.shape[2:], ShapeError)
        return self._run(x)

    def _run(self, x: Any) -> Any:
        """Pass images through the stages; in training, auxiliary heads add their logits in a tuple."""
        said: list[Tensor] = []
        if self.training:
            self._check_aux_size("images in training", x.shape[2:], ShapeError)
        for name, stage in self.named_children():
            if name in self.heads.values():
                continue
            x = stage(x)
            if self.training and name in self.heads:
                said.append(self[self.heads[name]](x))
        return (x, *said) if said else x

    def _check_size(self, what: str, sides: tuple[int, ...], error: type[MiniCNNError]) -> None:
        text, form = " x ".join(map(str, sides)), self.form
        if self.include_top and form.fixed and set(sides) != {self.own_size}:
            raise error(
                f"{self.name}: {what} must be {self.own_size} x {self.own_size}, for which the fully connected layers "
                f"of form={form.name!r} are made (include_top=False has none), got {text}"
            )
        if min(sides) < form.smallest:
            raise error(f"{self.name}: {what} must be at least {form.smallest} x {form.smallest}, got {text}")

    def _check_aux_size(self, what: str, sides: tuple[int, ...], error: type[MiniCNNError]) -> None:
        sizes = self.form.aux_sizes
        if self.heads and sizes is not None and not sizes[0] <= min(sides) <= max(sides) <= sizes[1]:
            raise error(
                f"{self.name}: {what} must be {sizes[0]} .. {sizes[1]} high and wide for the auxiliary heads of "
                f"form={self.form.name!r} (aux=False has none), got {' x '.join(map(str, sides))}"
            )


# --------------------------------------------------------------------------------- the list of models


@dataclass(frozen=True)
class Architecture:
    """An entry of the list of models.

    Attributes
    ----------
    name : str
    build : function
        ``build(form, **options) -> Module``; it keeps ``form`` (a Form) and every option as attributes.
    forms : mapping of name to Form
    default : str
        The form that ``create`` takes by default.
    """

    name: str
    build: Callable[..., Module]
    forms: Mapping[str, Form]
    default: str

    @property
    def options(self) -> list[str]:
        """Names of the options that ``build`` takes, those of all networks for photos included."""
        own = list(inspect.signature(self.build).parameters.values())
        if any(p.kind is p.VAR_KEYWORD for p in own):
            own = [*inspect.signature(ImageNetwork).parameters.values(), *own]
        return [p.name for p in own if p.kind is p.KEYWORD_ONLY]
